import { describe, expect, test } from "bun:test";
import type { Protocol } from "../../src/protocols/protocol.ts";
import { createProtocols } from "../../src/protocols/registry.ts";
import { SEED_CATALOG } from "../../src/turn/catalog.ts";
import { resolveModel } from "../../src/turn/model.ts";
import { type Dict, dict, isDict, parseDict } from "../../src/wire/json.ts";
import { checkTurn } from "../support/backend/checks.ts";
import { namesIn, readFixture } from "./golden.ts";
import { portsOf } from "./turns.ts";

// One of each of JSON's kinds, empty ones first of all: that is what clients get wrong.
const WRONG: readonly unknown[] = [null, 7, "", "zzz", true, [], {}, [null]];

/** `value` with one of the wrong values in each place of it, one at a time. */
function* spoilt(value: unknown): Generator<unknown> {
  if (Array.isArray(value)) {
    for (const [at, each] of value.entries()) {
      for (const inner of spoiltOrWrong(each)) yield value.with(at, inner);
    }
  } else if (isDict(value)) {
    for (const [name, each] of Object.entries(value)) {
      for (const inner of spoiltOrWrong(each)) yield { ...value, [name]: inner };
    }
  }
}

function* spoiltOrWrong(value: unknown): Generator<unknown> {
  yield* WRONG;
  yield* spoilt(value);
}

/** What is wrong with how a protocol meets a request; nothing, where it takes or refuses it as it should. */
function complaint(protocol: Protocol, body: Dict, headers: Dict): string | undefined {
  const decoded = protocol.decode({
    bytes: new TextEncoder().encode(JSON.stringify(body)),
    headers: new Headers(Object.entries(headers).map(([name, value]) => [name, String(value)])),
    resolve: (model) => resolveModel(model, SEED_CATALOG, []),
    scope: "",
  });
  if (!decoded.ok) {
    const { kind, status, param = "", message } = decoded.failure;
    const isTold = kind === "bad-request" && status === 400 && param !== "";
    // Anthropic's errors have no field for the path, so that the message must name it; a model is named by its name.
    const isNamed = param === "model" || message.includes(`'${param}'`);
    return isTold && isNamed ? undefined : `${kind} ${param}: ${message}`;
  }
  const { turn } = decoded.exchange;
  // What a client of the backend's own protocol says is for the backend to judge.
  if (protocol.name === "responses") return undefined;
  const sent = dict(parseDict(new TextDecoder().decode(turn.bytes)));
  const refusal = checkTurn(sent, { account: "a", knowsModel: () => true });
  // Whose ciphertext it is only the backend can tell.
  const words = JSON.stringify(refusal?.body ?? "");
  const isOurs = refusal === undefined || words.includes("invalid_encrypted_content");
  return isOurs ? undefined : `the backend refuses it: ${words}`;
}

describe.each(createProtocols(portsOf()).map((protocol) => [protocol.name, protocol] as const))(
  "%s",
  (name, protocol) => {
    if (name === "compact") return;

    test.each(namesIn(`requests/${name}`, ".json").filter((each) => !each.startsWith("bad-")))(
      "takes %s with a wrong value anywhere in it, or refuses it by its path",
      (recorded) => {
        const stored = new TextDecoder().decode(readFixture(`requests/${name}/${recorded}.json`));
        const { body, headers } = dict(parseDict(stored));
        const complaints = new Set<string>();
        for (const wrong of spoilt(body)) {
          const found = complaint(protocol, dict(wrong), dict(headers));
          if (found !== undefined) complaints.add(found);
        }
        expect([...complaints]).toEqual([]);
      },
    );
  },
);
