-- The digest of the code that the bindings of a version executed when it was last deployed, by binding.
ALTER TABLE definitions ADD COLUMN code TEXT;
