-- Times are nanoseconds since the epoch, UTC; NULL is unknown. An owner of '' is the command line.
-- $blob and $serial are what the database calls octets and a number that counts up; $searched puts the searched text into
-- an index, where it is read without the rest of the row: SQLite only, since PostgreSQL's indexes take no long texts.

CREATE TABLE captures (
  id TEXT PRIMARY KEY,               -- drawn by lot: cannot be guessed
  owner TEXT NOT NULL,
  batch TEXT NOT NULL,               -- what was handed in together
  place BIGINT NOT NULL,             -- order in the batch
  location TEXT NOT NULL,            -- where it was found; '' for an upload
  path TEXT NOT NULL,                -- as shown
  name TEXT NOT NULL,
  sha256 TEXT NOT NULL,              -- '' when it could not be opened
  size_bytes BIGINT,
  named INTEGER NOT NULL,            -- asked for by name, not found in a folder
  state TEXT NOT NULL,               -- queued, running, or the contract's
  reason TEXT,
  submitted_ns BIGINT NOT NULL,
  started_ns BIGINT,
  finished_ns BIGINT,
  worker TEXT,                       -- who has it while it runs
  attempts INTEGER NOT NULL,
  key TEXT,                          -- of the result: versions and options
  cause TEXT,
  verdict TEXT,
  confidence DOUBLE PRECISION,
  rank INTEGER NOT NULL,             -- severity, 0 is worst
  title TEXT,
  server TEXT,
  accounts TEXT NOT NULL,            -- JSON list
  start_ns BIGINT,
  end_ns BIGINT,
  search TEXT NOT NULL,              -- all a free text is looked for in, in small letters
  UNIQUE (owner, location, sha256)
);
CREATE INDEX captures_worst ON captures (rank, submitted_ns DESC, id);
CREATE INDEX captures_of_owner ON captures (owner, rank, submitted_ns DESC, id, size_bytes$searched);
CREATE INDEX captures_by_state ON captures (state, owner, rank, submitted_ns DESC, id);
CREATE INDEX captures_by_cause ON captures (cause, owner, rank, submitted_ns DESC, id);
CREATE INDEX captures_by_verdict ON captures (verdict, owner, rank, submitted_ns DESC, id);
CREATE INDEX captures_in_line ON captures (submitted_ns, place, id) WHERE state = 'queued';
CREATE INDEX captures_at_work ON captures (worker) WHERE state = 'running';
CREATE INDEX captures_by_content ON captures (sha256, key);
CREATE INDEX captures_of_batch ON captures (batch, place);
CREATE INDEX captures_by_age ON captures (submitted_ns);

CREATE TABLE files (                 -- what came of a capture: report.json, report.html, evidence.pcapng; zlib
  capture_id TEXT NOT NULL REFERENCES captures (id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  octets $blob NOT NULL,
  PRIMARY KEY (capture_id, name)
);

CREATE TABLE incidents (
  id TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  cause TEXT NOT NULL,               -- of its members, or what they prove together
  server TEXT,
  verdict TEXT NOT NULL,             -- the strongest of its members, or of them read together
  confidence DOUBLE PRECISION NOT NULL,
  rank INTEGER NOT NULL,
  title TEXT NOT NULL,
  start_ns BIGINT,
  end_ns BIGINT,
  captures BIGINT NOT NULL,
  clients BIGINT NOT NULL,
  accounts TEXT NOT NULL,            -- JSON list, the first of them
  nameless INTEGER NOT NULL,         -- its findings name no account
  search TEXT NOT NULL,
  tidy INTEGER NOT NULL DEFAULT 1,   -- 0: it lost members and must be built anew
  joined_of TEXT,                    -- the contents that were read together, digested
  joined TEXT                        -- what came of it, JSON; NULL when it added nothing
);
CREATE INDEX incidents_worst ON incidents (rank, captures DESC, start_ns DESC, id);
CREATE INDEX incidents_of_owner ON incidents (owner, rank, captures DESC, start_ns DESC, id);
CREATE INDEX incidents_untidy ON incidents (id) WHERE tidy = 0;
CREATE INDEX incidents_by_place ON incidents (owner, server, start_ns);

CREATE TABLE incident_names (
  incident_id TEXT NOT NULL REFERENCES incidents (id) ON DELETE CASCADE,
  kind TEXT NOT NULL,                -- account or client
  name TEXT NOT NULL,
  PRIMARY KEY (incident_id, kind, name)
);

CREATE TABLE findings (
  capture_id TEXT NOT NULL REFERENCES captures (id) ON DELETE CASCADE,
  place INTEGER NOT NULL,            -- best first
  incident_id TEXT REFERENCES incidents (id) ON DELETE SET NULL,
  rule TEXT,
  cause TEXT NOT NULL,
  verdict TEXT NOT NULL,
  confidence DOUBLE PRECISION,
  severity TEXT NOT NULL,
  server TEXT,
  protocol TEXT,
  accounts TEXT NOT NULL,            -- JSON list
  clients TEXT NOT NULL,             -- JSON list
  start_ns BIGINT,
  end_ns BIGINT,
  title TEXT NOT NULL,
  summary TEXT,
  PRIMARY KEY (capture_id, place)
);
CREATE INDEX findings_of_incident ON findings (incident_id, capture_id);

CREATE TABLE presences (             -- whose logins a capture shows, refused or not: who may bear witness
  capture_id TEXT NOT NULL REFERENCES captures (id) ON DELETE CASCADE,
  owner TEXT NOT NULL,
  server TEXT NOT NULL,
  account TEXT NOT NULL,
  start_ns BIGINT,
  end_ns BIGINT,
  PRIMARY KEY (capture_id, server, account)
);
CREATE INDEX presences_there ON presences (owner, server, account, start_ns);

CREATE TABLE sessions (
  capture_id TEXT NOT NULL REFERENCES captures (id) ON DELETE CASCADE,
  place INTEGER NOT NULL,
  capture TEXT, uid TEXT, protocol TEXT, tls TEXT, client TEXT, client_port BIGINT, server TEXT, server_port BIGINT,
  "start" BIGINT, "end" BIGINT, first_frame BIGINT, last_frame BIGINT, conn_state TEXT, sni TEXT, tls_version TEXT,
  tls_alert TEXT, decrypted INTEGER, handshake_ms DOUBLE PRECISION, greeting_ms DOUBLE PRECISION, greeting TEXT,
  product TEXT, account TEXT, mechanism TEXT, outcome TEXT, opened BIGINT, closed BIGINT, closed_by TEXT,
  commands BIGINT, client_bytes BIGINT, server_bytes BIGINT, missed_bytes BIGINT, retransmits BIGINT,
  PRIMARY KEY (capture_id, place)
);

CREATE TABLE logins (
  capture_id TEXT NOT NULL REFERENCES captures (id) ON DELETE CASCADE,
  place INTEGER NOT NULL,
  capture TEXT, session TEXT, frame BIGINT, decided_frame BIGINT, "time" BIGINT, decided_time BIGINT, client TEXT,
  server TEXT, mechanism TEXT, account TEXT, domain TEXT, workstation TEXT, outcome TEXT, code TEXT, text TEXT,
  auth_ms DOUBLE PRECISION,
  PRIMARY KEY (capture_id, place)
);

CREATE TABLE audit (                 -- appended to, never changed
  id $serial,
  at_ns BIGINT NOT NULL,
  who TEXT NOT NULL,
  what TEXT NOT NULL,
  sha256 TEXT,
  capture_id TEXT
);
