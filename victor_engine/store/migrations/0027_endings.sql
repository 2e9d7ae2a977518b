-- The decided end of a run while its end handlers are executed, and their failures after it; see runs.endings.
ALTER TABLE runs ADD COLUMN ending TEXT;
