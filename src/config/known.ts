import { KEYS } from "./schema.ts";

/** Keys that only the Go program had and that users' files still carry: accepted and ignored, with one warning. */
export const REFERENCE_ONLY: readonly string[] = [
  "cache-spoof-enabled",
  "codex-fingerprint-mode",
  "codex-fingerprint-seed",
  "concurrent-retry-429-timeout-sec",
  "db-max-idle-conns",
  "debug-upstream-stream",
  "debug-ws-stream",
  "disable-auth-401-remove",
  "enable-429-concurrent-retry",
  "enable-codex-login",
  "enable-healthy-retry",
  "enable-model-suffix-1m",
  "enable-model-suffix-fast",
  "enable-model-suffix-image",
  "http2-max-conns-per-host-cap",
  "listen-concurrency",
  "listen-read-header-timeout-sec",
  "listen-tcp-keepalive-sec",
  "log-color",
  "log-compress",
  "log-dir",
  "log-max-age-days",
  "log-max-backups",
  "log-max-size-mb",
  "log-report-caller",
  "log-separate-error-file",
  "max-idle-conns",
  "oauth-callback-port",
  "oauth-no-browser",
  "prompt-cache-merge-repeated-blocks",
  "prompt-cache-normalize-whitespace",
  "prompt-cache-optimize-enabled",
  "prompt-cache-replacements",
  "prompt-cache-tag",
  "quota-check-cache-ttl-sec",
  "quota-http-429-action",
  "quota-http-status-actions",
  "quota-precheck",
  "refresh-batch-size",
  "refresh-http-429-action",
  "save-workers",
  "startup-load-batch-size",
  "upstream-idle-conn-timeout-sec",
  "upstream-pool-auto-scale",
  "upstream-pool-max-cap",
  "upstream-response-header-timeout-sec",
  "upstream-tls-handshake-timeout-sec",
];

/** The known key that `name` was probably meant to be; keys of this version win over others. */
export function nearest(name: string): string | undefined {
  return nearestOf(name.replaceAll("_", "-"), [...KEYS, ...REFERENCE_ONLY]);
}

/** Which of the `known` names `name` was probably meant to be; the first of several that are as near. */
export function nearestOf(name: string, known: readonly string[]): string | undefined {
  const wanted = name.toLowerCase().slice(0, 64);
  let best: string | undefined;
  let least = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of known) {
    const steps = distance(wanted, candidate);
    if (steps >= least) continue;
    best = candidate;
    least = steps;
  }
  return best ?? known.find((candidate) => candidate.startsWith(`${wanted}-`));
}

/** Letters to add, drop or change to get from `a` to `b`. */
function distance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const change = a[row - 1] === b[column - 1] ? 0 : 1;
      current.push(
        Math.min(
          (current[column - 1] ?? 0) + 1,
          (above[column] ?? 0) + 1,
          (above[column - 1] ?? 0) + change,
        ),
      );
    }
    above = current;
  }
  return above[b.length] ?? 0;
}
