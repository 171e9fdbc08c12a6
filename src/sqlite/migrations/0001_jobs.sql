-- Instants are milliseconds since the Unix epoch, UTC.

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A job. seq is the order of acceptance and is never used again.
CREATE TABLE job (
    seq                   INTEGER PRIMARY KEY AUTOINCREMENT,
    id                    BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    service               TEXT    NOT NULL,
    owner                 TEXT,
    run_id                TEXT,
    phase                 TEXT    NOT NULL CHECK (phase IN ('PENDING', 'QUEUED', 'EXECUTING', 'COMPLETED', 'ERROR',
                                                            'ABORTED', 'HELD', 'SUSPENDED', 'ARCHIVED')),
    created_at            INTEGER NOT NULL,
    started_at            INTEGER,
    ended_at              INTEGER,
    execution_duration_ms INTEGER CHECK (execution_duration_ms > 0),
    destruction           INTEGER,
    cpus                  REAL    NOT NULL,
    memory                INTEGER NOT NULL,
    abort_requested       INTEGER NOT NULL DEFAULT 0 CHECK (abort_requested IN (0, 1)),
    deleted_at            INTEGER,
    visible_until         INTEGER,
    files_removed         INTEGER NOT NULL DEFAULT 0 CHECK (files_removed IN (0, 1)),
    reason                TEXT,
    summary_kind          TEXT    CHECK (summary_kind IN ('transient', 'fatal')),
    summary               TEXT,
    exit_code             INTEGER,
    signal                INTEGER,
    peak_memory           INTEGER,
    CHECK ((reason IS NOT NULL) = (phase IN ('COMPLETED', 'ERROR', 'ABORTED', 'ARCHIVED'))),
    CHECK ((summary IS NULL) = (summary_kind IS NULL))
) STRICT;

CREATE INDEX job_by_phase ON job (phase, seq);
CREATE INDEX job_by_destruction ON job (destruction) WHERE deleted_at IS NULL AND destruction IS NOT NULL;
CREATE INDEX job_deleted ON job (seq) WHERE deleted_at IS NOT NULL;

-- What a job is asked to do, as JSON: apart from the job, so that lists stay small.
CREATE TABLE work (
    job  INTEGER NOT NULL PRIMARY KEY REFERENCES job (seq) ON DELETE CASCADE,
    body TEXT    NOT NULL CHECK (json_valid(body))
) STRICT;

-- What became known about a job's run.
CREATE TABLE run (
    job          INTEGER NOT NULL PRIMARY KEY REFERENCES job (seq) ON DELETE CASCADE,
    host         TEXT,
    image        TEXT,
    image_digest TEXT,
    commit_hash  TEXT,
    boot_id      TEXT,
    engine_start TEXT,
    launched_ms  INTEGER, -- milliseconds since the host's boot
    is_advisory  INTEGER NOT NULL DEFAULT 0 CHECK (is_advisory IN (0, 1))
) STRICT;

-- The files that an ended job left, by number.
CREATE TABLE result (
    job    INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
    number INTEGER NOT NULL CHECK (number >= 0),
    path   TEXT    NOT NULL,
    size   INTEGER NOT NULL CHECK (size >= 0),
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;

-- Every change of a phase, in the transaction that made it.
CREATE TABLE event (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    job        INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
    at         INTEGER NOT NULL,
    from_phase TEXT,
    to_phase   TEXT    NOT NULL,
    reason     TEXT
) STRICT;

CREATE INDEX event_by_job ON event (job);
