import { describe, expect, test } from "bun:test";
import type { Refused } from "../../src/upstream/oauth.ts";
import { NOON, settled } from "./parts.ts";
import { BROKEN, NEARLY, stage, stranger, tokens } from "./renewal.ts";

const BUSY: Refused = { ...BROKEN, status: 503, message: "The issuer answered 503." };
const DEAD: Refused = { ...BUSY, status: 400, isPermanent: true, message: "It was used." };

/** An account with a minute left, and an issuer that answers so under this policy. */
function scene(refused: Refused, policy: string, key = `${refused.status}`, good = 99) {
  const ann = stranger("ann", NEARLY);
  const made = stage([ann], (_token, count) => (count >= good ? tokens("ann", 1) : refused), {
    policies: { [key]: policy },
  });
  /** Asks once more, after whatever pause there is. */
  const again = async (): Promise<void> => {
    const asked = made.renewer.identify(ann.identity);
    await asked;
    await settled();
  };
  const availability = () => made.pool.get(ann.identity)?.availability;
  return {
    ...made,
    ann,
    again,
    availability,
    said: () => made.lines.map(({ message }) => message),
  };
}

test("a question that did not get out is asked again soon, however often that happens", async () => {
  const unasked: Refused = { ...BROKEN, isUnasked: true, message: "The proxy is down." };
  const ann = stranger("ann", NEARLY);
  const { renewer, clock, spent } = stage([ann], () => unasked);
  for (let count = 1; count <= 6; count++) {
    await renewer.identify(ann.identity);
    await settled();
    expect(spent).toHaveLength(count);
    // The pause does not grow, since nobody has to be spared.
    clock.advance(30_000);
  }
});

describe("refresh-http-status-policy", () => {
  test("without one for the status an account serves on", async () => {
    const { again, availability, spent } = scene(BUSY, "none/disable", "429");
    await again();
    expect([availability()?.kind, spent.length]).toEqual(["ready", 1]);
  });

  test("none/disable: disabled at once, with the reason, the file as it is", async () => {
    const { again, availability, vault, ann, said, clock, renewer, spent } = scene(
      BUSY,
      "none/disable",
      "5xx",
    );
    await again();
    expect(availability()).toMatchObject({
      kind: "disabled",
      reason: expect.stringContaining(BUSY.message),
    });
    expect(vault.logins.get(ann.source)).toEqual(ann);
    expect(said()).toEqual(["an account was disabled, as refresh-http-status-policy says"]);
    clock.advance(3_600_000);
    await renewer.sweep();
    expect(spent).toHaveLength(1);
  });

  test("none/cooldown: it rests by the back-off though its token lives, and is asked again after it", async () => {
    const { again, availability, clock, spent } = scene(BUSY, "none/cooldown", "503", 2);
    await again();
    expect(availability()).toMatchObject({ kind: "cooling", untilMs: NOON + 30_000 });
    clock.advance(30_000);
    await again();
    expect([availability()?.kind, spent.length]).toEqual(["ready", 2]);
  });

  test("refresh_once: one further try at once, and then the final", async () => {
    const helped = scene(BUSY, "refresh_once/disable", "503", 2);
    await helped.again();
    expect([helped.availability()?.kind, helped.spent.length]).toEqual(["ready", 2]);
    const vain = scene(BUSY, "refresh_once/disable");
    await vain.again();
    expect([vain.availability()?.kind, vain.spent.length]).toEqual(["disabled", 2]);
  });

  test("cooldown_then_retry: the back-off once, and then the final", async () => {
    const { again, availability, clock, spent } = scene(BUSY, "cooldown_then_retry/disable");
    await again();
    await again();
    expect([availability()?.kind, spent.length]).toEqual(["ready", 1]);
    clock.advance(30_000);
    await again();
    expect([availability()?.kind, spent.length]).toEqual(["disabled", 2]);
  });

  test("remove: the file goes, loudly, and the account with it", async () => {
    const { again, vault, ann, pool, lines } = scene(BUSY, "none/remove");
    await again();
    expect([vault.logins.size, pool.get(ann.identity)]).toEqual([0, undefined]);
    const loud = lines.filter(({ level }) => level === "error");
    expect(loud[0]?.message).toContain("deleted");
    expect(loud[0]?.facts).toContain("ann.json");
  });

  test("remove: not a file in which other tokens lie by now, and what cannot be deleted is disabled", async () => {
    const replaced = scene(BUSY, "none/remove");
    const { vault, ann } = replaced;
    const anew = { ...ann.credential, refreshToken: "a new login" };
    replaced.vault.onReread = () => {
      if (replaced.spent.length > 0) vault.logins.set(ann.source, { ...ann, credential: anew });
    };
    await replaced.again();
    expect(vault.logins.size).toBe(1);
    const stuck = scene(BUSY, "none/remove");
    Object.assign(stuck.vault, { discard: async () => ({ ok: false, reason: "read-only." }) });
    await stuck.again();
    expect(stuck.availability()?.kind).toBe("disabled");
    expect(stuck.vault.logins.size).toBe(1);
  });

  test("B7-3: a refusal for good skips every phase; a rest does not mend it", async () => {
    for (const policy of ["refresh_once/disable", "cooldown_then_retry/disable"]) {
      const { again, availability, spent } = scene(DEAD, policy);
      await again();
      expect([availability()?.kind, spent.length]).toEqual(["disabled", 1]);
    }
    const { again, availability, spent, clock } = scene(DEAD, "none/cooldown");
    await again();
    expect(availability()?.kind).toBe("ready");
    clock.advance(60_000);
    await again();
    expect([availability()?.kind, spent.length]).toEqual(["needs-login", 1]);
    const gone = scene(DEAD, "none/remove");
    await gone.again();
    expect(gone.vault.logins.size).toBe(0);
  });
});

describe("what the log says", () => {
  test("one line when a token is refused, one when the account is out, and no more", async () => {
    const { again, said, clock, availability, renewer } = scene(DEAD, "none/cooldown", "500");
    for (let turn = 0; turn < 3; turn++) await again();
    clock.advance(60_000);
    for (let turn = 0; turn < 3; turn++) await again();
    await renewer.sweep();
    expect(said()).toEqual([
      "a refresh token is refused for good; its account serves while its access token lives",
      "an account needs a new login",
    ]);
    expect(availability()).toMatchObject({ reason: DEAD.message, sinceMs: NOON + 60_000 });
  });
});
