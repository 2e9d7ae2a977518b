-- The nominal instant of the fire that an operator skips. A row with skip_next and without it skips its next fire.
ALTER TABLE schedules ADD COLUMN skip_at INTEGER;
