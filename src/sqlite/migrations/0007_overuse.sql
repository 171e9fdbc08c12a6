-- How many bytes the files of a job were found to take, and might, when it was stopped for that: what it removes then, or makes of
-- it, is no other end for a later daemon.
ALTER TABLE job ADD COLUMN output_found INTEGER;
ALTER TABLE job ADD COLUMN output_most INTEGER;
