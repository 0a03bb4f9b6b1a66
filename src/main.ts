import { platform } from "#platform";
import { type Command, HELP, readArguments } from "./cli/args.ts";
import { check } from "./cli/check.ts";
import { doctor, standardDoctor } from "./cli/doctor/doctor.ts";
import { exportLogins } from "./cli/export.ts";
import { health } from "./cli/health.ts";
import { importLogins } from "./cli/import.ts";
import { init } from "./cli/init.ts";
import { login } from "./cli/login.ts";
import { reseal } from "./cli/reseal.ts";
import { serve } from "./cli/serve.ts";
import { openSettings } from "./cli/settings.ts";
import { setUp } from "./cli/setup/setup.ts";
import { standardTelling } from "./cli/told.ts";
import { KEYS } from "./config/schema.ts";

declare const BUILD_VERSION: string | undefined;
declare const BUILD_COMMIT: string | undefined;

const VERSION =
  typeof BUILD_VERSION === "string"
    ? `${BUILD_VERSION} (${typeof BUILD_COMMIT === "string" ? BUILD_COMMIT : "unknown commit"})`
    : "from source";

async function main(): Promise<number> {
  const command = readArguments(process.argv.slice(2), KEYS);
  switch (command.name) {
    case "misuse":
      process.stderr.write(
        `codex-proxy: ${command.message}; 'codex-proxy help' lists what there is\n`,
      );
      return 2;
    case "help":
      process.stdout.write(HELP);
      return 0;
    case "version":
      process.stdout.write(`codex-proxy ${VERSION}\n`);
      return 0;
    case "serve":
    case "check":
    case "health":
    case "login":
    case "import":
    case "export":
    case "reseal":
    case "doctor":
    case "setup":
      return run(command);
    case "init":
      return init(command.configPath, command.flags, standardTelling);
  }
}

type Configured = Exclude<
  Extract<Command, { readonly configPath: unknown }>,
  { readonly name: "init" }
>;

async function run(command: Configured): Promise<number> {
  if (command.name === "serve") platform.settle();
  const settings = await openSettings(command.configPath, command.flags, process.env);
  switch (command.name) {
    case "serve":
      return serve(settings, VERSION);
    case "check":
      return check(settings, standardTelling.print, standardTelling.complain);
    case "health":
      return health(settings, standardTelling);
    case "login":
      return login(settings, command.isDevice);
    case "import":
      return importLogins(settings, command.paths, standardTelling);
    case "export":
      return exportLogins(settings, command.dir, standardTelling);
    case "reseal":
      return reseal(settings, command.isPlain, standardTelling);
    case "doctor":
      return doctor(settings, command, standardDoctor(VERSION));
    case "setup":
      return setUp(settings, command.wish, standardTelling);
  }
}

// The bundle for Node is CommonJS, which has no top-level await, and a promise alone keeps no process alive: a command
// that waits, for the lock of an account say, would end in the midst of it and call that a success.
const alive = setInterval(() => {}, 2 ** 31 - 1);
void main()
  .finally(() => clearInterval(alive))
  .then(process.exit);
