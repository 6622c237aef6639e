-- The first schema, as the tables declare it (store.postgres.schema.first_schema).
CREATE TABLE "journal" (
    id BIGINT PRIMARY KEY,
    epoch BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    sealed BYTEA NOT NULL,
    parity BYTEA NOT NULL
);
CREATE TABLE "journal_aside" (
    id BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    sealed BYTEA NOT NULL
);
CREATE TABLE "store_state" (
    name TEXT COLLATE "C" PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO "store_state" VALUES
    ('epoch', 0), ('flushed', 0), ('last', 0), ('opened', 0), ('changes', 0), ('erased', 0),
    ('chunks', 0);
CREATE TABLE "chunk" (
    id BIGINT PRIMARY KEY,
    digest BYTEA NOT NULL,
    sealed BYTEA NOT NULL,
    parity BYTEA NOT NULL
);
CREATE TABLE "chunk_left" (
    id BIGINT PRIMARY KEY,
    rows BIGINT NOT NULL
);
CREATE TABLE "erasing" (
    id BIGINT PRIMARY KEY
);
CREATE TABLE "submission" (
    "key" BYTEA NOT NULL,
    _place BIGINT NOT NULL,
    PRIMARY KEY ("key")
);
CREATE TABLE "bulletin" (
    "md" BYTEA NOT NULL,
    "newest" BIGINT NOT NULL,
    "bulletin" BYTEA NOT NULL,
    _place BIGINT NOT NULL,
    PRIMARY KEY ("md")
);
CREATE INDEX "bulletin_newest" ON "bulletin" ("newest", "md");
CREATE INDEX "bulletin_bulletin" ON "bulletin" ("bulletin", "md");
CREATE TABLE "portion" (
    "md" BYTEA NOT NULL,
    "slot" BIGINT NOT NULL,
    _place BIGINT NOT NULL,
    PRIMARY KEY ("md", "slot")
);
CREATE TABLE "purge" (
    "at" BIGINT NOT NULL,
    "md" BYTEA NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("at", "md")
);
CREATE TABLE "secret_at" (
    "md" BYTEA NOT NULL,
    "slot" BIGINT NOT NULL,
    _place BIGINT NOT NULL,
    PRIMARY KEY ("md", "slot")
);
CREATE TABLE "secret" (
    _place BIGINT PRIMARY KEY,
    _group BIGINT NOT NULL,
    _record BYTEA NOT NULL
);
CREATE INDEX "secret__group" ON "secret" ("_group", "_place");
CREATE TABLE "pair" (
    "md" BYTEA NOT NULL,
    "recipient" TEXT COLLATE "C" NOT NULL,
    "ready" BIGINT NOT NULL,
    "rank" BIGINT NOT NULL,
    "created" BIGINT NOT NULL,
    "open" BIGINT NOT NULL,
    "due" BIGINT NOT NULL,
    "stage" BIGINT NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("md", "recipient")
);
CREATE INDEX "pair_ready" ON "pair" ("recipient", "ready", "rank", "created", "md") WHERE "ready" = 1;
CREATE INDEX "pair_due" ON "pair" ("open", "due", "md", "recipient") WHERE "open" = 1;
CREATE INDEX "pair_stage" ON "pair" ("stage", "open", "created", "md", "recipient") WHERE "open" = 1;
CREATE TABLE "refusal" (
    "md" BYTEA NOT NULL,
    "recipient" TEXT COLLATE "C" NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("md", "recipient")
);
CREATE TABLE "statement" (
    "leaf" BYTEA NOT NULL,
    "peer" TEXT COLLATE "C" NOT NULL,
    "kind" BIGINT NOT NULL,
    "incarnation" BIGINT NOT NULL,
    "sequence" BIGINT NOT NULL,
    _place BIGINT NOT NULL,
    PRIMARY KEY ("leaf")
);
CREATE INDEX "statement_number" ON "statement" ("peer", "kind", "incarnation", "sequence", "leaf");
CREATE TABLE "pending" (
    "leaf" BYTEA NOT NULL,
    "peer" TEXT COLLATE "C" NOT NULL,
    "rank" BIGINT NOT NULL,
    "place" BIGINT NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("leaf", "peer")
);
CREATE INDEX "pending_peer" ON "pending" ("peer", "rank", "place", "leaf");
CREATE TABLE "batch" (
    "batch" BYTEA NOT NULL,
    _place BIGINT NOT NULL,
    PRIMARY KEY ("batch")
);
CREATE TABLE "batch_key" (
    "batch" BYTEA NOT NULL,
    "kem" BYTEA NOT NULL,
    _place BIGINT NOT NULL,
    PRIMARY KEY ("batch", "kem")
);
CREATE TABLE "outgoing" (
    "incarnation" BIGINT NOT NULL,
    "recipient" TEXT COLLATE "C" NOT NULL,
    "newest" BIGINT NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("incarnation", "recipient")
);
CREATE INDEX "outgoing_newest" ON "outgoing" ("recipient", "newest", "incarnation");
CREATE TABLE "incoming" (
    "origin" TEXT COLLATE "C" NOT NULL,
    "incarnation" BIGINT NOT NULL,
    "member" TEXT COLLATE "C" NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("origin", "incarnation")
);
CREATE INDEX "incoming_member" ON "incoming" ("member", "origin", "incarnation");
CREATE TABLE "received" (
    "member" TEXT COLLATE "C" NOT NULL,
    "leaf" BYTEA NOT NULL,
    "origin" TEXT COLLATE "C" NOT NULL,
    "incarnation" BIGINT NOT NULL,
    "kind" BIGINT NOT NULL,
    "sequence" BIGINT NOT NULL,
    _place BIGINT NOT NULL,
    PRIMARY KEY ("member", "leaf")
);
CREATE INDEX "received_number" ON "received" ("origin", "incarnation", "kind", "sequence", "member", "leaf");
CREATE TABLE "inbox" (
    "md" BYTEA NOT NULL,
    "newest" BIGINT NOT NULL,
    "rank" BIGINT NOT NULL,
    "sequence" BIGINT NOT NULL,
    "originator" TEXT COLLATE "C" NOT NULL,
    "bulletin" BYTEA NOT NULL,
    "gone" BIGINT NOT NULL,
    "due" BIGINT NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("md")
);
CREATE INDEX "inbox_newest" ON "inbox" ("newest", "rank", "sequence", "md");
CREATE INDEX "inbox_bulletin" ON "inbox" ("originator", "bulletin", "md");
CREATE INDEX "inbox_id" ON "inbox" ("bulletin", "md");
CREATE INDEX "inbox_due" ON "inbox" ("gone", "due", "md");
CREATE TABLE "recalled" (
    "member" TEXT COLLATE "C" NOT NULL,
    "md" BYTEA NOT NULL,
    _place BIGINT NOT NULL,
    PRIMARY KEY ("member", "md")
);
CREATE TABLE "related" (
    "of" BYTEA NOT NULL,
    "relation" BIGINT NOT NULL,
    "md" BYTEA NOT NULL,
    _place BIGINT NOT NULL,
    PRIMARY KEY ("of", "relation", "md")
);
CREATE INDEX "related_md" ON "related" ("md", "of", "relation");
CREATE TABLE "receipt" (
    "md" BYTEA NOT NULL,
    "member" TEXT COLLATE "C" NOT NULL,
    "leaf" BYTEA NOT NULL,
    _place BIGINT NOT NULL,
    PRIMARY KEY ("md", "member", "leaf")
);
CREATE TABLE "consent" (
    "md" BYTEA NOT NULL,
    "recipient" TEXT COLLATE "C" NOT NULL,
    "member" TEXT COLLATE "C" NOT NULL,
    "newest" BIGINT NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("md", "recipient", "member")
);
CREATE INDEX "consent_newest" ON "consent" ("newest", "md", "recipient", "member");
CREATE TABLE "request" (
    "md" BYTEA NOT NULL,
    "member" TEXT COLLATE "C" NOT NULL,
    "own" BIGINT NOT NULL,
    "newest" BIGINT NOT NULL,
    "state" BIGINT NOT NULL,
    "due" BIGINT NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("md", "member", "own")
);
CREATE INDEX "request_newest" ON "request" ("newest", "md", "member", "own");
CREATE INDEX "request_due" ON "request" ("own", "state", "due", "md", "member");
CREATE TABLE "duty" (
    "md" BYTEA NOT NULL,
    "obligation" TEXT COLLATE "C" NOT NULL,
    "done" BIGINT NOT NULL,
    "due" BIGINT NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("md", "obligation")
);
CREATE INDEX "duty_due" ON "duty" ("done", "due", "md", "obligation");
CREATE TABLE "reader" (
    "user" TEXT COLLATE "C" NOT NULL,
    "md" BYTEA NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("user", "md")
);
CREATE TABLE "exported" (
    "md" BYTEA NOT NULL,
    "user" TEXT COLLATE "C" NOT NULL,
    "consumer" TEXT COLLATE "C" NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("md", "user", "consumer")
);
CREATE TABLE "log" (
    "incarnation" BIGINT NOT NULL,
    "last" BIGINT NOT NULL,
    _place BIGINT NOT NULL,
    PRIMARY KEY ("incarnation", "last")
);
CREATE TABLE "log_head" (
    "incarnation" BIGINT NOT NULL,
    "began" BIGINT NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("incarnation")
);
CREATE INDEX "log_head_began" ON "log_head" ("began", "incarnation");
CREATE TABLE "act" (
    "member" TEXT COLLATE "C" NOT NULL,
    "n" BIGINT NOT NULL,
    "leaf" BYTEA NOT NULL,
    _place BIGINT NOT NULL,
    PRIMARY KEY ("member", "n", "leaf")
);
CREATE TABLE "law" (
    "file" TEXT COLLATE "C" NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("file")
);
CREATE TABLE "trust" (
    "member" TEXT COLLATE "C" NOT NULL,
    "type" BIGINT NOT NULL,
    "version" BIGINT NOT NULL,
    _place BIGINT NOT NULL,
    PRIMARY KEY ("member", "type", "version")
);
CREATE TABLE "exclusion" (
    "member" TEXT COLLATE "C" NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("member")
);
CREATE TABLE "user" (
    "user" TEXT COLLATE "C" NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("user")
);
CREATE TABLE "certificate" (
    "certificate" BYTEA NOT NULL,
    "holder" TEXT COLLATE "C" NOT NULL,
    "end" BIGINT NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("certificate")
);
CREATE INDEX "certificate_holder" ON "certificate" ("holder", "end", "certificate");
CREATE TABLE "evidence" (
    "evidence" BYTEA NOT NULL,
    "member" TEXT COLLATE "C" NOT NULL,
    "shelf" BIGINT NOT NULL,
    "place" BIGINT NOT NULL,
    "first" BIGINT NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("evidence")
);
CREATE INDEX "evidence_member" ON "evidence" ("member", "shelf", "place", "evidence");
CREATE INDEX "evidence_shelf" ON "evidence" ("shelf", "first", "evidence");
CREATE TABLE "checkpoint" (
    "origin" TEXT COLLATE "C" NOT NULL,
    "incarnation" BIGINT NOT NULL,
    "size" BIGINT NOT NULL,
    "state" BIGINT NOT NULL,
    "newest" BIGINT NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("origin", "incarnation", "size")
);
CREATE INDEX "checkpoint_state" ON "checkpoint" ("origin", "state", "newest", "incarnation", "size");
CREATE TABLE "file" (
    "place" BYTEA NOT NULL,
    "md" BYTEA NOT NULL,
    "slot" BIGINT NOT NULL,
    "pieces" BYTEA NOT NULL,
    "state" BIGINT NOT NULL,
    "member" TEXT COLLATE "C" NOT NULL,
    "rank" BIGINT NOT NULL,
    "since" BIGINT NOT NULL,
    "user" TEXT COLLATE "C" NOT NULL,
    "due" BIGINT NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("place")
);
CREATE INDEX "file_portion" ON "file" ("md", "slot", "place");
CREATE INDEX "file_pieces" ON "file" ("pieces", "place");
CREATE INDEX "file_wanted" ON "file" ("state", "member", "rank", "since", "place");
CREATE INDEX "file_user" ON "file" ("user", "state", "place");
CREATE INDEX "file_due" ON "file" ("due", "place");
CREATE TABLE "counter" (
    "name" TEXT COLLATE "C" NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("name")
);
CREATE TABLE "owed" (
    "member" TEXT COLLATE "C" NOT NULL,
    "kind" BIGINT NOT NULL,
    "key" BYTEA NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("member", "kind", "key")
);
CREATE TABLE "unheard" (
    "member" TEXT COLLATE "C" NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("member")
);
CREATE TABLE "node" (
    "name" TEXT COLLATE "C" NOT NULL,
    _record BYTEA NOT NULL,
    PRIMARY KEY ("name")
);
