-- More facts of a run: what it was limited to, which engine ran it, and where its image came from.
ALTER TABLE run ADD COLUMN engine TEXT;
ALTER TABLE run ADD COLUMN image_source TEXT;
ALTER TABLE run ADD COLUMN memory_limit INTEGER;
ALTER TABLE run ADD COLUMN cpu_limit_milli INTEGER;

-- Whether the most memory that it used is only the most that was seen.
ALTER TABLE job ADD COLUMN peak_is_sampled INTEGER;

-- How each of its replicas ended, as JSON.
ALTER TABLE job ADD COLUMN replicas TEXT;

-- When it was queued, in milliseconds since the host's boot: a clock that nobody sets.
ALTER TABLE job ADD COLUMN queued_ms INTEGER;

-- When the files of a job that has ended were given up, for want of room.
ALTER TABLE job ADD COLUMN cleaned_at INTEGER;
CREATE INDEX job_with_files ON job (ended_at)
    WHERE phase IN ('COMPLETED', 'ERROR', 'ABORTED') AND deleted_at IS NULL AND cleaned_at IS NULL;
CREATE INDEX job_cleaned_files ON job (seq) WHERE cleaned_at IS NOT NULL AND files_removed = 0;

-- How much an operator put it before others of its service and owner, and its service before other services.
ALTER TABLE job ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
