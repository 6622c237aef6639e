-- The first schema, as the tables declare it (store.migrate.first_schema).
CREATE TABLE "journal" (
    id INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    digest BLOB NOT NULL,
    sealed BLOB NOT NULL,
    parity BLOB NOT NULL
) STRICT;
CREATE TABLE "journal_aside" (
    id INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
CREATE TABLE "store_state" (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "store_state" VALUES ('epoch', 0), ('flushed', 0), ('last', 0);
CREATE TABLE "chunk" (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    sealed BLOB NOT NULL,
    parity BLOB NOT NULL
) STRICT;
CREATE TABLE "chunk_left" (
    id INTEGER PRIMARY KEY,
    rows INTEGER NOT NULL
) STRICT;
CREATE TABLE "submission" (
    "key" BLOB NOT NULL,
    _place INTEGER NOT NULL,
    PRIMARY KEY ("key")
) STRICT, WITHOUT ROWID;
CREATE TABLE "bulletin" (
    "md" BLOB NOT NULL,
    "newest" INTEGER NOT NULL,
    "bulletin" BLOB NOT NULL,
    _place INTEGER NOT NULL,
    PRIMARY KEY ("md")
) STRICT, WITHOUT ROWID;
CREATE INDEX "bulletin_newest" ON "bulletin" ("newest", "md");
CREATE INDEX "bulletin_bulletin" ON "bulletin" ("bulletin", "md");
CREATE TABLE "portion" (
    "md" BLOB NOT NULL,
    "slot" INTEGER NOT NULL,
    _place INTEGER NOT NULL,
    PRIMARY KEY ("md", "slot")
) STRICT, WITHOUT ROWID;
CREATE TABLE "purge" (
    "at" INTEGER NOT NULL,
    "md" BLOB NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("at", "md")
) STRICT, WITHOUT ROWID;
CREATE TABLE "secret_at" (
    "md" BLOB NOT NULL,
    "slot" INTEGER NOT NULL,
    _place INTEGER NOT NULL,
    PRIMARY KEY ("md", "slot")
) STRICT, WITHOUT ROWID;
CREATE TABLE "secret" (
    _place INTEGER PRIMARY KEY,
    _record BLOB NOT NULL
) STRICT;
CREATE TABLE "pair" (
    "md" BLOB NOT NULL,
    "recipient" TEXT NOT NULL,
    "ready" INTEGER NOT NULL,
    "rank" INTEGER NOT NULL,
    "created" INTEGER NOT NULL,
    "open" INTEGER NOT NULL,
    "due" INTEGER NOT NULL,
    "stage" INTEGER NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("md", "recipient")
) STRICT, WITHOUT ROWID;
CREATE INDEX "pair_ready" ON "pair" ("recipient", "ready", "rank", "created", "md") WHERE "ready" = 1;
CREATE INDEX "pair_due" ON "pair" ("open", "due", "md", "recipient") WHERE "open" = 1;
CREATE INDEX "pair_stage" ON "pair" ("stage", "open", "created", "md", "recipient") WHERE "open" = 1;
CREATE TABLE "refusal" (
    "md" BLOB NOT NULL,
    "recipient" TEXT NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("md", "recipient")
) STRICT, WITHOUT ROWID;
CREATE TABLE "statement" (
    "leaf" BLOB NOT NULL,
    "peer" TEXT NOT NULL,
    "kind" INTEGER NOT NULL,
    "incarnation" INTEGER NOT NULL,
    "sequence" INTEGER NOT NULL,
    _place INTEGER NOT NULL,
    PRIMARY KEY ("leaf")
) STRICT, WITHOUT ROWID;
CREATE INDEX "statement_number" ON "statement" ("peer", "kind", "incarnation", "sequence", "leaf");
CREATE TABLE "pending" (
    "leaf" BLOB NOT NULL,
    "peer" TEXT NOT NULL,
    "rank" INTEGER NOT NULL,
    "place" INTEGER NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("leaf", "peer")
) STRICT, WITHOUT ROWID;
CREATE INDEX "pending_peer" ON "pending" ("peer", "rank", "place", "leaf");
CREATE TABLE "batch" (
    "batch" BLOB NOT NULL,
    _place INTEGER NOT NULL,
    PRIMARY KEY ("batch")
) STRICT, WITHOUT ROWID;
CREATE TABLE "batch_key" (
    "batch" BLOB NOT NULL,
    "kem" BLOB NOT NULL,
    _place INTEGER NOT NULL,
    PRIMARY KEY ("batch", "kem")
) STRICT, WITHOUT ROWID;
CREATE TABLE "outgoing" (
    "incarnation" INTEGER NOT NULL,
    "recipient" TEXT NOT NULL,
    "newest" INTEGER NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("incarnation", "recipient")
) STRICT, WITHOUT ROWID;
CREATE INDEX "outgoing_newest" ON "outgoing" ("recipient", "newest", "incarnation");
CREATE TABLE "incoming" (
    "origin" TEXT NOT NULL,
    "incarnation" INTEGER NOT NULL,
    "member" TEXT NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("origin", "incarnation")
) STRICT, WITHOUT ROWID;
CREATE INDEX "incoming_member" ON "incoming" ("member", "origin", "incarnation");
CREATE TABLE "received" (
    "member" TEXT NOT NULL,
    "leaf" BLOB NOT NULL,
    "origin" TEXT NOT NULL,
    "incarnation" INTEGER NOT NULL,
    "kind" INTEGER NOT NULL,
    "sequence" INTEGER NOT NULL,
    _place INTEGER NOT NULL,
    PRIMARY KEY ("member", "leaf")
) STRICT, WITHOUT ROWID;
CREATE INDEX "received_number" ON "received" ("origin", "incarnation", "kind", "sequence", "member", "leaf");
CREATE TABLE "inbox" (
    "md" BLOB NOT NULL,
    "newest" INTEGER NOT NULL,
    "rank" INTEGER NOT NULL,
    "sequence" INTEGER NOT NULL,
    "originator" TEXT NOT NULL,
    "bulletin" BLOB NOT NULL,
    "gone" INTEGER NOT NULL,
    "due" INTEGER NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("md")
) STRICT, WITHOUT ROWID;
CREATE INDEX "inbox_newest" ON "inbox" ("newest", "rank", "sequence", "md");
CREATE INDEX "inbox_bulletin" ON "inbox" ("originator", "bulletin", "md");
CREATE INDEX "inbox_id" ON "inbox" ("bulletin", "md");
CREATE INDEX "inbox_due" ON "inbox" ("gone", "due", "md");
CREATE TABLE "recalled" (
    "member" TEXT NOT NULL,
    "md" BLOB NOT NULL,
    _place INTEGER NOT NULL,
    PRIMARY KEY ("member", "md")
) STRICT, WITHOUT ROWID;
CREATE TABLE "related" (
    "of" BLOB NOT NULL,
    "relation" INTEGER NOT NULL,
    "md" BLOB NOT NULL,
    _place INTEGER NOT NULL,
    PRIMARY KEY ("of", "relation", "md")
) STRICT, WITHOUT ROWID;
CREATE INDEX "related_md" ON "related" ("md", "of", "relation");
CREATE TABLE "receipt" (
    "md" BLOB NOT NULL,
    "member" TEXT NOT NULL,
    "leaf" BLOB NOT NULL,
    _place INTEGER NOT NULL,
    PRIMARY KEY ("md", "member", "leaf")
) STRICT, WITHOUT ROWID;
CREATE TABLE "consent" (
    "md" BLOB NOT NULL,
    "recipient" TEXT NOT NULL,
    "member" TEXT NOT NULL,
    "newest" INTEGER NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("md", "recipient", "member")
) STRICT, WITHOUT ROWID;
CREATE INDEX "consent_newest" ON "consent" ("newest", "md", "recipient", "member");
CREATE TABLE "request" (
    "md" BLOB NOT NULL,
    "member" TEXT NOT NULL,
    "own" INTEGER NOT NULL,
    "newest" INTEGER NOT NULL,
    "state" INTEGER NOT NULL,
    "due" INTEGER NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("md", "member", "own")
) STRICT, WITHOUT ROWID;
CREATE INDEX "request_newest" ON "request" ("newest", "md", "member", "own");
CREATE INDEX "request_due" ON "request" ("own", "state", "due", "md", "member");
CREATE TABLE "duty" (
    "md" BLOB NOT NULL,
    "obligation" TEXT NOT NULL,
    "done" INTEGER NOT NULL,
    "due" INTEGER NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("md", "obligation")
) STRICT, WITHOUT ROWID;
CREATE INDEX "duty_due" ON "duty" ("done", "due", "md", "obligation");
CREATE TABLE "reader" (
    "user" TEXT NOT NULL,
    "md" BLOB NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("user", "md")
) STRICT, WITHOUT ROWID;
CREATE TABLE "exported" (
    "md" BLOB NOT NULL,
    "user" TEXT NOT NULL,
    "consumer" TEXT NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("md", "user", "consumer")
) STRICT, WITHOUT ROWID;
CREATE TABLE "log" (
    "incarnation" INTEGER NOT NULL,
    "last" INTEGER NOT NULL,
    _place INTEGER NOT NULL,
    PRIMARY KEY ("incarnation", "last")
) STRICT, WITHOUT ROWID;
CREATE TABLE "log_head" (
    "incarnation" INTEGER NOT NULL,
    "began" INTEGER NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("incarnation")
) STRICT, WITHOUT ROWID;
CREATE INDEX "log_head_began" ON "log_head" ("began", "incarnation");
CREATE TABLE "act" (
    "member" TEXT NOT NULL,
    "n" INTEGER NOT NULL,
    "leaf" BLOB NOT NULL,
    _place INTEGER NOT NULL,
    PRIMARY KEY ("member", "n", "leaf")
) STRICT, WITHOUT ROWID;
CREATE TABLE "law" (
    "file" TEXT NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("file")
) STRICT, WITHOUT ROWID;
CREATE TABLE "trust" (
    "member" TEXT NOT NULL,
    "type" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    _place INTEGER NOT NULL,
    PRIMARY KEY ("member", "type", "version")
) STRICT, WITHOUT ROWID;
CREATE TABLE "exclusion" (
    "member" TEXT NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("member")
) STRICT, WITHOUT ROWID;
CREATE TABLE "user" (
    "user" TEXT NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("user")
) STRICT, WITHOUT ROWID;
CREATE TABLE "certificate" (
    "certificate" BLOB NOT NULL,
    "holder" TEXT NOT NULL,
    "end" INTEGER NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("certificate")
) STRICT, WITHOUT ROWID;
CREATE INDEX "certificate_holder" ON "certificate" ("holder", "end", "certificate");
CREATE TABLE "evidence" (
    "evidence" BLOB NOT NULL,
    "member" TEXT NOT NULL,
    "shelf" INTEGER NOT NULL,
    "place" INTEGER NOT NULL,
    "first" INTEGER NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("evidence")
) STRICT, WITHOUT ROWID;
CREATE INDEX "evidence_member" ON "evidence" ("member", "shelf", "place", "evidence");
CREATE INDEX "evidence_shelf" ON "evidence" ("shelf", "first", "evidence");
CREATE TABLE "checkpoint" (
    "origin" TEXT NOT NULL,
    "incarnation" INTEGER NOT NULL,
    "size" INTEGER NOT NULL,
    "state" INTEGER NOT NULL,
    "newest" INTEGER NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("origin", "incarnation", "size")
) STRICT, WITHOUT ROWID;
CREATE INDEX "checkpoint_state" ON "checkpoint" ("origin", "state", "newest", "incarnation", "size");
CREATE TABLE "file" (
    "place" BLOB NOT NULL,
    "md" BLOB NOT NULL,
    "slot" INTEGER NOT NULL,
    "pieces" BLOB NOT NULL,
    "state" INTEGER NOT NULL,
    "member" TEXT NOT NULL,
    "rank" INTEGER NOT NULL,
    "since" INTEGER NOT NULL,
    "user" TEXT NOT NULL,
    "due" INTEGER NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("place")
) STRICT, WITHOUT ROWID;
CREATE INDEX "file_portion" ON "file" ("md", "slot", "place");
CREATE INDEX "file_pieces" ON "file" ("pieces", "place");
CREATE INDEX "file_wanted" ON "file" ("state", "member", "rank", "since", "place");
CREATE INDEX "file_user" ON "file" ("user", "state", "place");
CREATE INDEX "file_due" ON "file" ("due", "place");
CREATE TABLE "counter" (
    "name" TEXT NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("name")
) STRICT, WITHOUT ROWID;
CREATE TABLE "owed" (
    "member" TEXT NOT NULL,
    "kind" INTEGER NOT NULL,
    "key" BLOB NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("member", "kind", "key")
) STRICT, WITHOUT ROWID;
CREATE TABLE "unheard" (
    "member" TEXT NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("member")
) STRICT, WITHOUT ROWID;
CREATE TABLE "node" (
    "name" TEXT NOT NULL,
    _record BLOB NOT NULL,
    PRIMARY KEY ("name")
) STRICT, WITHOUT ROWID;
