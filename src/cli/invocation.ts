/**
 * How the person calls this program, for what they are told to type next: as they typed it, with the configuration
 * file where it is not the usual one. `argv0` is the process's own; from source it is the runtime's.
 */
export function invocation(argv0: string, configPath: string | undefined): string {
  const isProgram = /(?:^|[\\/])codex-proxy[^\\/]*$/i.test(argv0);
  const name = isProgram ? argv0 : "codex-proxy";
  const isUsual = configPath === undefined || configPath === "config.yaml";
  return [name, ...(isUsual ? [] : ["-config", configPath])].map(quoted).join(" ");
}

/** A word as a shell takes it. */
function quoted(word: string): string {
  return /^[\w./:\\@%+=,-]+$/.test(word) ? word : JSON.stringify(word);
}
