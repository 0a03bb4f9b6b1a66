import { expect, test } from "bun:test";
import { readPage } from "../../src/dashboard/assets.ts";
import { PAGE_ROUTES } from "../../src/server/dashboard.ts";

test("from source, every file that is served is made of its sources", async () => {
  for (const { file } of PAGE_ROUTES) expect((await readPage(file)).length).toBeGreaterThan(100);
});

test("a file that is not there is a fault", async () => {
  await expect(readPage("app.map")).rejects.toThrow("no file app.map");
});
