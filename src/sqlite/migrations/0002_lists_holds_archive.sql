-- Held by an operator, suspended, past its destruction time, kept as a record after it.
ALTER TABLE job ADD COLUMN held_from TEXT CHECK (held_from IN ('PENDING', 'QUEUED'));
ALTER TABLE job ADD COLUMN suspended_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN suspended_since_ms INTEGER; -- milliseconds since the host's boot
ALTER TABLE job ADD COLUMN is_expired INTEGER NOT NULL DEFAULT 0 CHECK (is_expired IN (0, 1));
ALTER TABLE job ADD COLUMN archived_until INTEGER;

-- What makes a request that is sent twice make one job; an anonymous owner is the empty text.
CREATE TABLE idempotency (
    owner       TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL CHECK (length(fingerprint) = 16),
    job         INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_by_job ON idempotency (job);

-- Lists are ordered by creation time, then by order of acceptance, newest first: read from an index, filtered or not.
CREATE INDEX job_list ON job (service, created_at, seq) WHERE deleted_at IS NULL AND phase <> 'ARCHIVED';
CREATE INDEX job_list_by_phase ON job (service, phase, created_at, seq) WHERE deleted_at IS NULL;

DROP INDEX job_by_destruction;
CREATE INDEX job_by_destruction ON job (destruction)
    WHERE deleted_at IS NULL AND destruction IS NOT NULL AND phase <> 'ARCHIVED';
CREATE INDEX job_archived ON job (archived_until) WHERE deleted_at IS NULL AND phase = 'ARCHIVED';
CREATE INDEX job_archived_files ON job (seq) WHERE files_removed = 0 AND phase = 'ARCHIVED';
