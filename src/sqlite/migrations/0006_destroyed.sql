-- What is left of a job that was destroyed: that it was, and when. Of the last ones; seq is the order of their end.
CREATE TABLE destroyed (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    id      BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    service TEXT    NOT NULL,
    owner   TEXT,
    at      INTEGER NOT NULL
) STRICT;

-- Which boot of the daemon's own host launched_ms is of.
ALTER TABLE run ADD COLUMN launched_boot TEXT;

-- More of what a run was limited to: how many processes, and how many bytes of files.
ALTER TABLE run ADD COLUMN pids_limit INTEGER;
ALTER TABLE run ADD COLUMN output_limit INTEGER;

-- How long a job executed, in milliseconds by a clock that nobody sets.
ALTER TABLE job ADD COLUMN ran_ms INTEGER;

-- Whether its execution limit was reached: then it is stopped for that, whatever it makes of it.
ALTER TABLE job ADD COLUMN limit_reached INTEGER NOT NULL DEFAULT 0 CHECK (limit_reached IN (0, 1));

-- The files of what is ARCHIVED went when it was.
UPDATE job SET cleaned_at = (SELECT max(at) FROM event WHERE event.job = job.seq AND to_phase = 'ARCHIVED')
    WHERE phase = 'ARCHIVED' AND cleaned_at IS NULL;
