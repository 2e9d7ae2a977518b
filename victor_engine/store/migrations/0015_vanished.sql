-- A schedule whose workflow, or whose block, is gone from the files: `removed_at` is set, and here is the note.
-- It comes back with the file, as it was. NULL: it was not disabled so.
ALTER TABLE schedules ADD COLUMN vanished TEXT;
