import { type Signal, signal } from "@preact/signals";
import type { Dict } from "../../wire/json.ts";
import type { Api, Call, Refusal, Reply } from "./api.ts";
import type { Settings } from "./settings.ts";

/** Whether the page may show anything. */
export type Phase = "checking" | "locked" | "open";

/** Why somebody has to sign in. */
export type Notice = Refusal | "expired" | undefined;

/** The page's standing with the proxy. */
export type Session = Api & {
  readonly phase: Signal<Phase>;
  readonly notice: Signal<Notice>;
  /** The proxy does not answer; it is asked until it does. */
  readonly isOffline: Signal<boolean>;
  /** Counts how often the proxy came back: whoever shows something reads it anew then. */
  readonly round: Signal<number>;
  /** Finds out whether the key that is there will do, or none is needed. */
  readonly check: () => Promise<void>;
  readonly signIn: (key: string) => Promise<void>;
  readonly signOut: () => void;
};

/** What a session is made of. */
export type SessionPorts = {
  readonly api: Api;
  readonly settings: Pick<Settings, "key" | "setKey">;
  readonly after: (ms: number, fire: () => void) => void;
};

const ASK_AGAIN_MS = 1500;

/** A session that knows nothing yet. */
export function createSession({ api, settings, after }: SessionPorts): Session {
  const phase = signal<Phase>("checking");
  const notice = signal<Notice>(undefined);
  const isOffline = signal(false);
  const round = signal(0);

  const probe = async (): Promise<void> => {
    const reply = await api.call({ path: "/health/live" });
    if (!reply.ok && reply.kind === "offline") return after(ASK_AGAIN_MS, () => void probe());
    isOffline.value = false;
    round.value += 1;
    if (phase.value === "checking") await check();
  };
  const lose = (): void => {
    if (isOffline.value) return;
    isOffline.value = true;
    after(ASK_AGAIN_MS, () => void probe());
  };
  /** Draws the conclusions from a reply, and hands it on. */
  const heed = (reply: Reply, { signal: stop }: Call): Reply => {
    if (reply.ok || stop?.aborted === true) return reply;
    if (reply.kind === "offline") lose();
    else if (reply.status === 401 && phase.value === "open") {
      settings.setKey("");
      notice.value = "expired";
      phase.value = "locked";
    }
    return reply;
  };
  const check = async (): Promise<void> => {
    const asked = { path: "/stats?page_size=1" };
    const reply = heed(await api.call(asked), asked);
    if (reply.ok) {
      notice.value = undefined;
      phase.value = "open";
      return;
    }
    if (reply.kind === "offline") return;
    // Without a key, a 401 only says that one is needed.
    const isNews = settings.key.value !== "" || reply.status !== 401;
    notice.value = isNews ? reply : undefined;
    if (reply.status === 401) settings.setKey("");
    phase.value = "locked";
  };

  return {
    phase,
    notice,
    isOffline,
    round,
    call: async (call) => heed(await api.call(call), call),
    stream: async (call, onEvent: (name: string, data: Dict) => void) =>
      heed(await api.stream(call, onEvent), call),
    check,
    signIn: async (key) => {
      settings.setKey(key);
      await check();
    },
    signOut: () => {
      settings.setKey("");
      notice.value = undefined;
      phase.value = "locked";
    },
  };
}
