import { unlessStopped } from "../engine/wait.ts";
import type { LocalRoute } from "../protocols/protocol.ts";
import type { Failure } from "../turn/failure.ts";
import type { Resolved } from "../turn/model.ts";
import { createStop } from "../turn/stop.ts";
import type { Clock } from "../wire/clock.ts";
import type { Json } from "../wire/json.ts";
import { readBody } from "./intake.ts";
import { type Caller, resolveFor } from "./keys.ts";
import { LEFT, type ProxyOptions, TOO_LONG } from "./visit.ts";

/** What answering a local route needs; the limits are read anew for each request. */
export type LocalPorts = {
  readonly clock: Clock;
  readonly options: () => Pick<ProxyOptions, "maxBodyBytes" | "clientIdleMs" | "requestMs">;
  readonly resolve: (model: string) => Resolved;
};

/** One request to a route that needs no account. */
export type LocalCall = {
  readonly route: LocalRoute;
  readonly request: Request;
  readonly caller: Caller;
};

/** Answers local routes: reads the body as for a turn, with the same limits and encodings, and has the route answer. */
export function createLocal(ports: LocalPorts): (call: LocalCall) => Promise<Json | Failure> {
  return async (call) => {
    const { signal } = call.request;
    const stop = createStop();
    const leave = (): void => stop.stop(LEFT);
    signal.addEventListener("abort", leave);
    if (signal.aborted) leave();
    const { requestMs } = ports.options();
    const late = (): void => stop.stop(TOO_LONG);
    const cancel = requestMs > 0 ? ports.clock.after(requestMs, late) : () => {};
    try {
      return (await unlessStopped(answer(call, ports), stop)) ?? stop.reason() ?? LEFT;
    } catch (cause) {
      if (signal.aborted) return LEFT;
      throw cause;
    } finally {
      cancel();
      signal.removeEventListener("abort", leave);
    }
  };
}

async function answer(
  { route, request, caller }: LocalCall,
  { options, resolve, clock }: LocalPorts,
): Promise<Json | Failure> {
  const { maxBodyBytes, clientIdleMs } = options();
  const limits = { limitBytes: maxBodyBytes, idleMs: clientIdleMs };
  const intake = await readBody(request, limits, clock);
  if (!intake.ok) return intake.failure;
  const { headers } = request;
  const said = await route.answer({
    bytes: intake.bytes,
    headers,
    resolve: resolveFor(caller, resolve),
    scope: caller.scope,
  });
  return said.ok ? said.body : said.failure;
}
