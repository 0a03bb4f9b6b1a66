/**
 * Keeps the debugger shut: Node opens its port to every user of the machine at a SIGUSR1 that nobody listens for, and
 * whoever has the debugger has the logins.
 */
export function settle(): void {
  process.on("SIGUSR1", () => {});
}
