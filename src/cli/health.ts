import { request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";
import { codeOf } from "../store/durable.ts";
import { type Clock, inTime, type Millis, systemClock } from "../wire/clock.ts";
import { localUrl } from "./address.ts";
import { loadOnce, type Settings } from "./settings.ts";
import type { Telling } from "./told.ts";

// Container engines give a check some seconds, and count one that takes longer as failed.
const LIMIT_MS: Millis = 4000;

/**
 * Asks the proxy that runs with this configuration on this machine whether it runs, for who watches it by a command,
 * as container engines do: 0 while it answers, 1 when it does not. How its accounts are does not count, since starting
 * anew would help none of them.
 */
export async function health(
  settings: Settings,
  { print, complain }: Telling,
  clock: Clock = systemClock,
): Promise<number> {
  const reading = await loadOnce(settings, complain);
  if (reading === undefined) return 2;
  const origin = localUrl(reading.config);
  if (origin === undefined) {
    complain("listen has port 0, so that only the log of the running proxy tells where it is.");
    return 2;
  }
  const verdict = (await inTime(ask(new URL(`${origin}/health/live`)), LIMIT_MS, clock)) ?? {
    isWell: false,
    what: `did not answer within ${LIMIT_MS / 1000} s`,
  };
  const say = verdict.isWell ? print : complain;
  say(`${origin} ${verdict.what}`);
  return verdict.isWell ? 0 : 1;
}

type Verdict = { readonly isWell: boolean; readonly what: string };

/** What it answers. `fetch` would go by the environment's proxies. */
function ask(url: URL): Promise<Verdict> {
  return new Promise((resolve) => {
    const send = url.protocol === "https:" ? requestTls : requestPlain;
    // Its certificate is for the name that others use, and nothing is told to whoever answers.
    const asking = send(url, { agent: false, rejectUnauthorized: false }, (answer) => {
      const { statusCode } = answer;
      answer.destroy();
      resolve(
        statusCode === 200
          ? { isWell: true, what: "runs" }
          : { isWell: false, what: `answers ${statusCode}: another program has that port` },
      );
    });
    asking.on("error", (cause) =>
      resolve({ isWell: false, what: `does not answer (${codeOf(cause)})` }),
    );
    asking.end();
  });
}
