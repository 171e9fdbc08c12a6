-- More facts of a run: what it was limited to, which engine ran it, and where its image came from.
ALTER TABLE run ADD COLUMN engine TEXT;
ALTER TABLE run ADD COLUMN image_source TEXT;
ALTER TABLE run ADD COLUMN memory_limit INTEGER;
ALTER TABLE run ADD COLUMN cpu_limit_milli INTEGER;

-- When it was queued, in milliseconds since the host's boot: a clock that nobody sets.
ALTER TABLE job ADD COLUMN queued_ms INTEGER;
