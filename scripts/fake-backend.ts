import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startBackend } from "../test/support/backend/backend.ts";

const USAGE = `Starts a made-up Codex backend and OAuth issuer on the loopback interface, to try the proxy, and logging in, without an account.

  bun scripts/fake-backend.ts [--port N] [--accounts N] [--auth-dir DIR] [--pace MS]

  --port N        port to listen on (default: any free one)
  --accounts N    how many accounts there are (default 1)
  --auth-dir DIR  writes an account file for each into DIR
  --pace MS       delay between the events of an answer (default 0)`;

type Settings = {
  readonly port: number;
  readonly accounts: number;
  readonly authDir: string | undefined;
  readonly paceMs: number;
};

function readSettings(): Settings | undefined {
  try {
    const { values } = parseArgs({
      options: {
        port: { type: "string", default: "0" },
        accounts: { type: "string", default: "1" },
        "auth-dir": { type: "string" },
        pace: { type: "string", default: "0" },
        help: { type: "boolean", default: false },
      },
    });
    const [port, accounts, paceMs] = [values.port, values.accounts, values.pace].map(Number);
    if (values.help) {
      console.log(USAGE);
      process.exit(0);
    }
    if (!isCount(port) || !isCount(accounts) || !isCount(paceMs)) return undefined;
    return { port, accounts, paceMs, authDir: values["auth-dir"] };
  } catch {
    return undefined;
  }
}

function isCount(value: number | undefined): value is number {
  return value !== undefined && Number.isSafeInteger(value) && value >= 0;
}

async function writeAccount(dir: string, name: string, file: object): Promise<void> {
  const path = join(dir, `${name}.json`);
  await writeFile(path, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600 });
  // The mode above counts for new files only.
  await chmod(path, 0o600);
}

const settings = readSettings();
if (!settings) {
  console.error(USAGE);
  process.exit(2);
}

const backend = await startBackend({ port: settings.port, paceMs: settings.paceMs, record: false });
const { authDir } = settings;
if (authDir !== undefined) await mkdir(authDir, { recursive: true, mode: 0o700 });
for (let number = 1; number <= settings.accounts; number++) {
  const account = backend.account(`demo-${number}`);
  if (authDir !== undefined) await writeAccount(authDir, account.name, account.file());
}

console.log(`base-url: ${backend.url}`);
console.log(`oauth-issuer: ${backend.issuer}`);
console.log(
  `"codex-proxy login" and "login --device" work too: their pages ask which account you are.`,
);

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    backend.stop().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  });
}
