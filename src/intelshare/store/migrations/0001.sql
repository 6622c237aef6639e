-- The first schema, as the tables declare it (store.migrate.first_schema).
CREATE TABLE "journal" (
    id INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
CREATE TABLE "store_state" (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "store_state" VALUES ('epoch', 0), ('flushed', 0);
CREATE TABLE "submission" (
    id INTEGER PRIMARY KEY,
    "key" BLOB NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("key")
) STRICT;
CREATE TABLE "bulletin" (
    id INTEGER PRIMARY KEY,
    "md" BLOB NOT NULL,
    "newest" INTEGER NOT NULL,
    "bulletin" BLOB NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("md")
) STRICT;
CREATE INDEX "bulletin_newest" ON "bulletin" ("newest", "md");
CREATE INDEX "bulletin_bulletin" ON "bulletin" ("bulletin", "md");
CREATE TABLE "portion" (
    id INTEGER PRIMARY KEY,
    record BLOB NOT NULL
) STRICT;
CREATE TABLE "portion_at" (
    "md" BLOB NOT NULL,
    "slot" INTEGER NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY ("md", "slot")
) STRICT, WITHOUT ROWID;
CREATE TABLE "secret" (
    id INTEGER PRIMARY KEY,
    record BLOB NOT NULL
) STRICT;
CREATE TABLE "secret_at" (
    "md" BLOB NOT NULL,
    "slot" INTEGER NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY ("md", "slot")
) STRICT, WITHOUT ROWID;
CREATE TABLE "pair" (
    id INTEGER PRIMARY KEY,
    "md" BLOB NOT NULL,
    "recipient" TEXT NOT NULL,
    "ready" INTEGER NOT NULL,
    "rank" INTEGER NOT NULL,
    "created" INTEGER NOT NULL,
    "open" INTEGER NOT NULL,
    "due" INTEGER NOT NULL,
    "leaf" BLOB NOT NULL,
    "stage" INTEGER NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("md", "recipient")
) STRICT;
CREATE INDEX "pair_ready" ON "pair" ("recipient", "ready", "rank", "created", "md") WHERE "ready" = 1;
CREATE INDEX "pair_due" ON "pair" ("open", "due", "md", "recipient") WHERE "open" = 1;
CREATE INDEX "pair_leaf" ON "pair" ("leaf", "md", "recipient");
CREATE INDEX "pair_stage" ON "pair" ("stage", "open", "created", "md", "recipient") WHERE "open" = 1;
CREATE TABLE "statement" (
    id INTEGER PRIMARY KEY,
    "leaf" BLOB NOT NULL,
    "peer" TEXT NOT NULL,
    "kind" INTEGER NOT NULL,
    "incarnation" INTEGER NOT NULL,
    "sequence" INTEGER NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("leaf")
) STRICT;
CREATE INDEX "statement_number" ON "statement" ("peer", "kind", "incarnation", "sequence", "leaf");
CREATE TABLE "pending" (
    id INTEGER PRIMARY KEY,
    "leaf" BLOB NOT NULL,
    "peer" TEXT NOT NULL,
    "rank" INTEGER NOT NULL,
    "place" INTEGER NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("leaf", "peer")
) STRICT;
CREATE INDEX "pending_peer" ON "pending" ("peer", "rank", "place", "leaf");
CREATE TABLE "batch" (
    id INTEGER PRIMARY KEY,
    "batch" BLOB NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("batch")
) STRICT;
CREATE TABLE "batch_key" (
    id INTEGER PRIMARY KEY,
    "batch" BLOB NOT NULL,
    "kem" BLOB NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("batch", "kem")
) STRICT;
CREATE TABLE "outgoing" (
    id INTEGER PRIMARY KEY,
    "incarnation" INTEGER NOT NULL,
    "recipient" TEXT NOT NULL,
    "newest" INTEGER NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("incarnation", "recipient")
) STRICT;
CREATE INDEX "outgoing_newest" ON "outgoing" ("recipient", "newest", "incarnation");
CREATE TABLE "incoming" (
    id INTEGER PRIMARY KEY,
    "origin" TEXT NOT NULL,
    "incarnation" INTEGER NOT NULL,
    "member" TEXT NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("origin", "incarnation")
) STRICT;
CREATE INDEX "incoming_member" ON "incoming" ("member", "origin", "incarnation");
CREATE TABLE "received" (
    id INTEGER PRIMARY KEY,
    "member" TEXT NOT NULL,
    "leaf" BLOB NOT NULL,
    "origin" TEXT NOT NULL,
    "incarnation" INTEGER NOT NULL,
    "kind" INTEGER NOT NULL,
    "sequence" INTEGER NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("member", "leaf")
) STRICT;
CREATE INDEX "received_number" ON "received" ("origin", "incarnation", "kind", "sequence", "member", "leaf");
CREATE TABLE "inbox" (
    id INTEGER PRIMARY KEY,
    "md" BLOB NOT NULL,
    "newest" INTEGER NOT NULL,
    "rank" INTEGER NOT NULL,
    "sequence" INTEGER NOT NULL,
    "originator" TEXT NOT NULL,
    "bulletin" BLOB NOT NULL,
    "gone" INTEGER NOT NULL,
    "due" INTEGER NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("md")
) STRICT;
CREATE INDEX "inbox_newest" ON "inbox" ("newest", "rank", "sequence", "md");
CREATE INDEX "inbox_bulletin" ON "inbox" ("originator", "bulletin", "md");
CREATE INDEX "inbox_id" ON "inbox" ("bulletin", "md");
CREATE INDEX "inbox_due" ON "inbox" ("gone", "due", "md");
CREATE TABLE "recalled" (
    id INTEGER PRIMARY KEY,
    "member" TEXT NOT NULL,
    "md" BLOB NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("member", "md")
) STRICT;
CREATE TABLE "related" (
    id INTEGER PRIMARY KEY,
    "of" BLOB NOT NULL,
    "relation" INTEGER NOT NULL,
    "md" BLOB NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("of", "relation", "md")
) STRICT;
CREATE INDEX "related_md" ON "related" ("md", "of", "relation");
CREATE TABLE "receipt" (
    id INTEGER PRIMARY KEY,
    "md" BLOB NOT NULL,
    "member" TEXT NOT NULL,
    "leaf" BLOB NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("md", "member", "leaf")
) STRICT;
CREATE TABLE "consent" (
    id INTEGER PRIMARY KEY,
    "md" BLOB NOT NULL,
    "recipient" TEXT NOT NULL,
    "member" TEXT NOT NULL,
    "newest" INTEGER NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("md", "recipient", "member")
) STRICT;
CREATE INDEX "consent_newest" ON "consent" ("newest", "md", "recipient", "member");
CREATE TABLE "request" (
    id INTEGER PRIMARY KEY,
    "md" BLOB NOT NULL,
    "member" TEXT NOT NULL,
    "own" INTEGER NOT NULL,
    "newest" INTEGER NOT NULL,
    "state" INTEGER NOT NULL,
    "due" INTEGER NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("md", "member", "own")
) STRICT;
CREATE INDEX "request_newest" ON "request" ("newest", "md", "member", "own");
CREATE INDEX "request_due" ON "request" ("own", "state", "due", "md", "member");
CREATE TABLE "duty" (
    id INTEGER PRIMARY KEY,
    "md" BLOB NOT NULL,
    "obligation" TEXT NOT NULL,
    "done" INTEGER NOT NULL,
    "due" INTEGER NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("md", "obligation")
) STRICT;
CREATE INDEX "duty_due" ON "duty" ("done", "due", "md", "obligation");
CREATE TABLE "reader" (
    id INTEGER PRIMARY KEY,
    "user" TEXT NOT NULL,
    "md" BLOB NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("user", "md")
) STRICT;
CREATE TABLE "log" (
    id INTEGER PRIMARY KEY,
    "incarnation" INTEGER NOT NULL,
    "place" INTEGER NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("incarnation", "place")
) STRICT;
CREATE TABLE "log_head" (
    id INTEGER PRIMARY KEY,
    "incarnation" INTEGER NOT NULL,
    "began" INTEGER NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("incarnation")
) STRICT;
CREATE INDEX "log_head_began" ON "log_head" ("began", "incarnation");
CREATE TABLE "act" (
    id INTEGER PRIMARY KEY,
    "member" TEXT NOT NULL,
    "n" INTEGER NOT NULL,
    "leaf" BLOB NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("member", "n", "leaf")
) STRICT;
CREATE TABLE "trust" (
    id INTEGER PRIMARY KEY,
    "member" TEXT NOT NULL,
    "type" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("member", "type", "version")
) STRICT;
CREATE TABLE "user" (
    id INTEGER PRIMARY KEY,
    "user" TEXT NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("user")
) STRICT;
CREATE TABLE "evidence" (
    id INTEGER PRIMARY KEY,
    "evidence" BLOB NOT NULL,
    "member" TEXT NOT NULL,
    "shelf" INTEGER NOT NULL,
    "place" INTEGER NOT NULL,
    "first" INTEGER NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("evidence")
) STRICT;
CREATE INDEX "evidence_member" ON "evidence" ("member", "shelf", "place", "evidence");
CREATE INDEX "evidence_shelf" ON "evidence" ("shelf", "first", "evidence");
CREATE TABLE "checkpoint" (
    id INTEGER PRIMARY KEY,
    "origin" TEXT NOT NULL,
    "incarnation" INTEGER NOT NULL,
    "size" INTEGER NOT NULL,
    "state" INTEGER NOT NULL,
    "newest" INTEGER NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("origin", "incarnation", "size")
) STRICT;
CREATE INDEX "checkpoint_state" ON "checkpoint" ("origin", "state", "newest", "incarnation", "size");
CREATE TABLE "node" (
    id INTEGER PRIMARY KEY,
    "name" TEXT NOT NULL,
    record BLOB NOT NULL,
    UNIQUE ("name")
) STRICT;
