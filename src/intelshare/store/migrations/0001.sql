-- The first schema: one table per row of broker/kernel/toml/reader.py. Every row carries a digest over all of it.

CREATE TABLE submission (
    "key" BLOB NOT NULL,
    "user" TEXT NOT NULL,
    "content" BLOB NOT NULL,
    "md" BLOB NOT NULL,
    "sealed_answer" BLOB NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("key")
) STRICT;

CREATE TABLE bulletin (
    "md" BLOB NOT NULL,
    "bulletin" BLOB NOT NULL,
    "author" TEXT NOT NULL,
    "created" INTEGER NOT NULL,
    "newest" INTEGER NOT NULL,
    "precedence" INTEGER NOT NULL,
    "expires" INTEGER NOT NULL,
    "deliver_by" INTEGER NOT NULL,
    "manifest" BLOB NOT NULL,
    "portions" INTEGER NOT NULL,
    "recalled" INTEGER NOT NULL,
    "sealed_draft" BLOB NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("md")
) STRICT;
CREATE INDEX bulletin_newest ON bulletin ("newest");
CREATE INDEX bulletin_bulletin ON bulletin ("bulletin");

CREATE TABLE portion (
    "md" BLOB NOT NULL,
    "slot" INTEGER NOT NULL,
    "position" INTEGER NOT NULL,
    "body" BLOB NOT NULL,
    "body_digest" BLOB NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("md", "slot")
) STRICT;

CREATE TABLE secret (
    "md" BLOB NOT NULL,
    "slot" INTEGER NOT NULL,
    "sealed" BLOB NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("md", "slot")
) STRICT;

CREATE TABLE pair (
    "md" BLOB NOT NULL,
    "recipient" TEXT NOT NULL,
    "ready" INTEGER NOT NULL,
    "rank" INTEGER NOT NULL,
    "open" INTEGER NOT NULL,
    "due" INTEGER NOT NULL,
    "created" INTEGER NOT NULL,
    "stage" INTEGER NOT NULL,
    "cause" INTEGER NOT NULL,
    "receipt" INTEGER NOT NULL,
    "conflict" INTEGER NOT NULL,
    "codes" TEXT NOT NULL,
    "changed" INTEGER NOT NULL,
    "granted" INTEGER NOT NULL,
    "portions" INTEGER NOT NULL,
    "basis" TEXT NOT NULL,
    "decided_in" INTEGER NOT NULL,
    "decided_at" INTEGER NOT NULL,
    "decision" BLOB NOT NULL,
    "gist" BLOB NOT NULL,
    "approved" TEXT NOT NULL,
    "incarnation" INTEGER NOT NULL,
    "sequence" INTEGER NOT NULL,
    "leaf" BLOB NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("md", "recipient")
) STRICT, WITHOUT ROWID;
CREATE INDEX pair_ready ON pair ("recipient", "ready", "rank", "created");
CREATE INDEX pair_due ON pair ("open", "due");
CREATE INDEX pair_leaf ON pair ("leaf");
CREATE INDEX pair_stage ON pair ("stage", "open", "created");

CREATE TABLE statement (
    "leaf" BLOB NOT NULL,
    "peer" TEXT NOT NULL,
    "kind" INTEGER NOT NULL,
    "nonce" BLOB NOT NULL,
    "data" BLOB NOT NULL,
    "proof" BLOB NOT NULL,
    "batch" BLOB NOT NULL,
    "kem" BLOB NOT NULL,
    "grant" BLOB NOT NULL,
    "md" BLOB NOT NULL,
    "slots" BLOB NOT NULL,
    "incarnation" INTEGER NOT NULL,
    "sequence" INTEGER NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("leaf")
) STRICT;
CREATE INDEX statement_number ON statement ("peer", "kind", "incarnation", "sequence");

CREATE TABLE pending (
    "leaf" BLOB NOT NULL,
    "peer" TEXT NOT NULL,
    "rank" INTEGER NOT NULL,
    "place" INTEGER NOT NULL,
    "size" INTEGER NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("leaf", "peer")
) STRICT, WITHOUT ROWID;
CREATE INDEX pending_peer ON pending ("peer", "rank", "place");

CREATE TABLE batch (
    "batch" BLOB NOT NULL,
    "record" BLOB NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("batch")
) STRICT;

CREATE TABLE batch_key (
    "batch" BLOB NOT NULL,
    "kem" BLOB NOT NULL,
    "sealed" BLOB NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("batch", "kem")
) STRICT, WITHOUT ROWID;

CREATE TABLE outgoing (
    "incarnation" INTEGER NOT NULL,
    "recipient" TEXT NOT NULL,
    "newest" INTEGER NOT NULL,
    "last" INTEGER NOT NULL,
    "head" BLOB NOT NULL,
    "cancelled" BLOB NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("incarnation", "recipient")
) STRICT, WITHOUT ROWID;
CREATE INDEX outgoing_newest ON outgoing ("recipient", "newest");

CREATE TABLE incoming (
    "origin" TEXT NOT NULL,
    "incarnation" INTEGER NOT NULL,
    "member" TEXT NOT NULL,
    "last" INTEGER NOT NULL,
    "head" BLOB NOT NULL,
    "holes" BLOB NOT NULL,
    "cancelled" BLOB NOT NULL,
    "frozen" INTEGER NOT NULL,
    "announced" INTEGER NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("origin", "incarnation")
) STRICT, WITHOUT ROWID;
CREATE INDEX incoming_member ON incoming ("member");

CREATE TABLE received (
    "member" TEXT NOT NULL,
    "leaf" BLOB NOT NULL,
    "kind" INTEGER NOT NULL,
    "nonce" BLOB NOT NULL,
    "data" BLOB NOT NULL,
    "proof" BLOB NOT NULL,
    "batch" BLOB NOT NULL,
    "at" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "receipt" BLOB NOT NULL,
    "origin" TEXT NOT NULL,
    "incarnation" INTEGER NOT NULL,
    "sequence" INTEGER NOT NULL,
    "prev" BLOB NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("member", "leaf")
) STRICT, WITHOUT ROWID;
CREATE INDEX received_number ON received ("origin", "incarnation", "kind", "sequence");

CREATE TABLE inbox (
    "md" BLOB NOT NULL,
    "bulletin" BLOB NOT NULL,
    "originator" TEXT NOT NULL,
    "sender" TEXT NOT NULL,
    "leaf" BLOB NOT NULL,
    "created" INTEGER NOT NULL,
    "received" INTEGER NOT NULL,
    "newest" INTEGER NOT NULL,
    "expires" INTEGER NOT NULL,
    "precedence" INTEGER NOT NULL,
    "rank" INTEGER NOT NULL,
    "sequence" INTEGER NOT NULL,
    "portions" INTEGER NOT NULL,
    "told" INTEGER NOT NULL,
    "gone" INTEGER NOT NULL,
    "cause" TEXT NOT NULL,
    "due" INTEGER NOT NULL,
    "secrets" BLOB NOT NULL,
    "sealed_claims" BLOB NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("md")
) STRICT;
CREATE INDEX inbox_newest ON inbox ("newest", "rank", "sequence");
CREATE INDEX inbox_bulletin ON inbox ("originator", "bulletin");
CREATE INDEX inbox_id ON inbox ("bulletin");
CREATE INDEX inbox_due ON inbox ("gone", "due");

CREATE TABLE recalled (
    "member" TEXT NOT NULL,
    "md" BLOB NOT NULL,
    "at" INTEGER NOT NULL,
    "leaf" BLOB NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("member", "md")
) STRICT, WITHOUT ROWID;

CREATE TABLE related (
    "of" BLOB NOT NULL,
    "relation" INTEGER NOT NULL,
    "md" BLOB NOT NULL,
    "member" TEXT NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("of", "relation", "md")
) STRICT, WITHOUT ROWID;
CREATE INDEX related_md ON related ("md");

CREATE TABLE receipt (
    "md" BLOB NOT NULL,
    "member" TEXT NOT NULL,
    "leaf" BLOB NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("md", "member", "leaf")
) STRICT, WITHOUT ROWID;

CREATE TABLE consent (
    "md" BLOB NOT NULL,
    "recipient" TEXT NOT NULL,
    "member" TEXT NOT NULL,
    "own" INTEGER NOT NULL,
    "state" INTEGER NOT NULL,
    "slots" BLOB NOT NULL,
    "until" INTEGER NOT NULL,
    "leaf" BLOB NOT NULL,
    "newest" INTEGER NOT NULL,
    "changed" INTEGER NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("md", "recipient", "member")
) STRICT;
CREATE INDEX consent_newest ON consent ("newest");

CREATE TABLE request (
    "md" BLOB NOT NULL,
    "member" TEXT NOT NULL,
    "own" INTEGER NOT NULL,
    "state" INTEGER NOT NULL,
    "due" INTEGER NOT NULL,
    "reply" BLOB NOT NULL,
    "newest" INTEGER NOT NULL,
    "changed" INTEGER NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("md", "member", "own")
) STRICT;
CREATE INDEX request_newest ON request ("newest");
CREATE INDEX request_due ON request ("own", "state", "due");

CREATE TABLE duty (
    "md" BLOB NOT NULL,
    "obligation" TEXT NOT NULL,
    "due" INTEGER NOT NULL,
    "done" INTEGER NOT NULL,
    "user" TEXT NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("md", "obligation")
) STRICT;
CREATE INDEX duty_due ON duty ("done", "due");

CREATE TABLE reader (
    "user" TEXT NOT NULL,
    "md" BLOB NOT NULL,
    "at" INTEGER NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("user", "md")
) STRICT, WITHOUT ROWID;

CREATE TABLE log (
    "incarnation" INTEGER NOT NULL,
    "last" INTEGER NOT NULL,
    "entries" BLOB NOT NULL,
    "sealed_entries" BLOB NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("incarnation", "last")
) STRICT;

CREATE TABLE log_head (
    "incarnation" INTEGER NOT NULL,
    "began" INTEGER NOT NULL,
    "size" INTEGER NOT NULL,
    "frontier" BLOB NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("incarnation")
) STRICT, WITHOUT ROWID;
CREATE INDEX log_head_began ON log_head ("began");

CREATE TABLE act (
    "member" TEXT NOT NULL,
    "n" INTEGER NOT NULL,
    "leaf" BLOB NOT NULL,
    "state" INTEGER NOT NULL,
    "at" INTEGER NOT NULL,
    "since" INTEGER NOT NULL,
    "by" TEXT NOT NULL,
    "data" BLOB NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("member", "n", "leaf")
) STRICT;

CREATE TABLE trust (
    "member" TEXT NOT NULL,
    "type" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    "record" BLOB NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("member", "type", "version")
) STRICT;

CREATE TABLE user (
    "user" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "role" TEXT NOT NULL,
    "clearance" TEXT NOT NULL,
    "nationality" TEXT NOT NULL,
    "categories" TEXT NOT NULL,
    "revoked" INTEGER NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("user")
) STRICT, WITHOUT ROWID;

CREATE TABLE evidence (
    "evidence" BLOB NOT NULL,
    "member" TEXT NOT NULL,
    "shelf" INTEGER NOT NULL,
    "place" INTEGER NOT NULL,
    "code" TEXT NOT NULL,
    "first" INTEGER NOT NULL,
    "times" INTEGER NOT NULL,
    "exhibit" BLOB NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("evidence")
) STRICT;
CREATE INDEX evidence_member ON evidence ("member", "shelf", "place");
CREATE INDEX evidence_shelf ON evidence ("shelf", "first");

CREATE TABLE checkpoint (
    "origin" TEXT NOT NULL,
    "incarnation" INTEGER NOT NULL,
    "size" INTEGER NOT NULL,
    "root" BLOB NOT NULL,
    "member" TEXT NOT NULL,
    "state" INTEGER NOT NULL,
    "at" INTEGER NOT NULL,
    "newest" INTEGER NOT NULL,
    "signed" BLOB NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("origin", "incarnation", "size")
) STRICT;
CREATE INDEX checkpoint_state ON checkpoint ("origin", "state", "newest");

CREATE TABLE node (
    "name" TEXT NOT NULL,
    "incarnation" INTEGER NOT NULL,
    "previous" INTEGER NOT NULL,
    "began" INTEGER NOT NULL,
    "latest" INTEGER NOT NULL,
    "digest" BLOB NOT NULL,
    PRIMARY KEY ("name")
) STRICT, WITHOUT ROWID;
