-- Images that were pulled for jobs, by their full names: only these are ever removed from the engine.
CREATE TABLE image (
    name      TEXT    NOT NULL PRIMARY KEY,
    id        TEXT,             -- the engine's; absent while nobody has seen the end of its pull
    digest    TEXT,             -- that of the registry which it came from
    pulled_at INTEGER NOT NULL,
    last_used INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX image_by_last_use ON image (last_used);
