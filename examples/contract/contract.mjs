// The same as contract.py, by @grpc/grpc-js and the .proto files of the wheel: nothing of intelshare's runs here.
//
// The node takes no other key exchange than X25519MLKEM768: Node 24.5 or newer (OpenSSL 3.5).
//
// npm install --no-save @grpc/grpc-js @grpc/proto-loader node@24
// node_modules/node/bin/node contract.mjs PROFILE RECIPIENT PROTO-FOLDER    (the folder in which intelshare/wire/v1/user.proto is)

import { readFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const [profile, recipient, protos] = process.argv.slice(2);
const definition = loader.loadSync("intelshare/wire/v1/user.proto", {
  includeDirs: [protos], longs: String, enums: String, defaults: true, keepCase: true,
});
const { v1 } = grpc.loadPackageDefinition(definition).intelshare;

const settings = Object.fromEntries(
  [...readFileSync(join(profile, "profile.toml"), "utf8").matchAll(/^(\w+) = "(.*)"$/gm)].map((one) => one.slice(1)),
);
let address = settings.address;
if (!address) {
  const running = JSON.parse(readFileSync(join(profile, settings.node_folder, "run.json"), "utf8"));
  address = `${running.host}:${running.user_port}`;
}
const pem = (name) => readFileSync(join(profile, name));
const credentials = grpc.credentials.createSsl(pem("ca.pem"), pem("key.pem"), pem("cert.pem"));
const options = {
  "grpc.ssl_target_name_override": settings.server_name, "grpc.default_authority": settings.server_name,
};
const bulletins = new v1.Bulletins(address, credentials, options);
const operations = new v1.Operations(address, credentials, options);

const call = (client, method, request) =>
  new Promise((resolve, reject) =>
    client[method](request, { deadline: Date.now() + 10_000 }, (error, answer) => (error ? reject(error) : resolve(answer))),
  );

async function codeOf(promise) {
  try {
    await promise;
  } catch (error) {
    const detail = JSON.parse(error.metadata.get("intelshare-detail-bin")[0].toString("utf8"));
    return [error.metadata.get("intelshare-code")[0], Boolean(detail.message)];
  }
  return ["", false];
}

function uuid7() {
  const key = randomBytes(16);
  key.writeUIntBE(Date.now(), 0, 6);
  key[6] = 0x70 | (key[6] & 0x0f);
  key[8] = 0x80 | (key[8] & 0x3f);
  return key;
}

const NEVER = "18446744073709551615";
const me = await call(bulletins, "WhoAmI", {});
const request = {
  key: uuid7(), to: [recipient], precedence: "PRECEDENCE_FLASH", valid_until: NEVER, deliver_by: NEVER,
  portions: [{
    kind: "PORTION_KIND_TEXT", label: `//${me.member} SECRET//REL TO ${me.member}, ${recipient}`, category: "cyber",
    media: "text/plain", content: Buffer.from("A kit."),
  }],
};
const planned = await call(bulletins, "DryRun", request);
const first = await call(bulletins, "Submit", request);
const again = await call(bulletins, "Submit", request);
const [entry] = (await call(bulletins, "Outbox", { id: first.bulletin.toString("hex") })).entries;
const other = { ...request, portions: [{ ...request.portions[0], content: Buffer.from("Another kit.") }] };
console.log(JSON.stringify({
  member: me.member,
  role: me.role,
  dry_run_has_no_id: planned.bulletin.length === 0,
  decided: first.pairs.map((pair) => [pair.recipient, pair.portions[0].outcome]),
  same_key_same_answer: JSON.stringify(first) === JSON.stringify(again),
  precedence: v1.Precedence.type.value.find((one) => one.name === entry.precedence).number,
  other_content: await codeOf(call(bulletins, "Submit", other)),
  unknown_id: await codeOf(call(bulletins, "Read", { id: "ffffffff" })),
  no_role: await codeOf(call(operations, "ListUsers", {})),
}, null, 1));
bulletins.close();
operations.close();
