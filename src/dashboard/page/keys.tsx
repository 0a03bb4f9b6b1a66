import { useState } from "preact/hooks";
import { Cell, Placeholder, usePolling, When } from "./parts.tsx";
import { type KeyRow, readKeys } from "./shape.ts";
import { complain, distance, format, session, t } from "./state.tsx";

const EVERY_MS = 5000;

/** What the holders of keys have used, and what they may. */
export function KeysPage() {
  const [keys, setKeys] = useState<readonly KeyRow[]>();
  usePolling(
    async (signal) => {
      const reply = await session.call({ path: "/stats?page_size=1", signal });
      if (signal.aborted) return;
      if (reply.ok) setKeys(readKeys(reply.body));
      else complain(reply);
    },
    EVERY_MS,
    [],
  );
  return (
    <>
      <h1 class="hidden">{t("keys")}</h1>
      {keys === undefined && <Placeholder words={t("loading")} />}
      {keys?.length === 0 && <Placeholder words={t("noKeys")} />}
      {keys !== undefined && keys.length > 0 && <Listing keys={keys} />}
    </>
  );
}

function Listing({ keys }: { keys: readonly KeyRow[] }) {
  return (
    <table class="listing keys">
      <caption class="hidden">{t("keys")}</caption>
      <thead>
        <tr>
          <th scope="col">{t("holder")}</th>
          <th scope="col" class="number">
            {t("requests")}
          </th>
          <th scope="col" class="number">
            {t("errors")}
          </th>
          <th scope="col" class="number">
            {t("turnedAway")}
          </th>
          <th scope="col" class="number">
            {t("inFlight")}
          </th>
          <th scope="col" class="number">
            {t("tokensIn")}
          </th>
          <th scope="col" class="number">
            {t("tokensOut")}
          </th>
          <th scope="col">{t("today")}</th>
          <th scope="col">{t("limits")}</th>
          <th scope="col">{t("lastUsed")}</th>
        </tr>
      </thead>
      <tbody>
        {keys.map((row) => (
          <KeyLine key={row.name} row={row} />
        ))}
      </tbody>
    </table>
  );
}

function KeyLine({ row }: { row: KeyRow }) {
  const { count, short } = format();
  return (
    <tr>
      <Cell label={t("holder")} kind="name">
        <span class="label">{row.name}</span>
        {row.expiresMs !== undefined && (
          <span class={row.isExpired ? "note bad" : "note"}>
            {t(row.isExpired ? "expired" : "expires", distance(row.expiresMs))}
          </span>
        )}
      </Cell>
      <Cell label={t("requests")} kind="number">
        {count(row.requests)}
      </Cell>
      <Cell label={t("errors")} kind="number">
        {count(row.errors)}
      </Cell>
      <Cell label={t("turnedAway")} kind="number">
        {count(row.refused)}
      </Cell>
      <Cell label={t("inFlight")} kind="number">
        {count(row.inFlight)}
      </Cell>
      <Cell label={t("tokensIn")} kind="number">
        {short(row.tokens.input)}
      </Cell>
      <Cell label={t("tokensOut")} kind="number">
        {short(row.tokens.output)}
      </Cell>
      <Cell label={t("today")} kind="time">
        {row.tokensPerDay === undefined
          ? short(row.tokensToday)
          : t("ofBudget", short(row.tokensToday), short(row.tokensPerDay))}
      </Cell>
      <Cell label={t("limits")} kind="limits">
        {limitsOf(row) || <span class="quiet">{t("none")}</span>}
      </Cell>
      <Cell label={t("lastUsed")} kind="time">
        <When atMs={row.lastUsedMs} />
      </Cell>
    </tr>
  );
}

function limitsOf({ models, rpm, concurrency }: KeyRow): string {
  return [
    models === undefined ? "" : models.join(", "),
    rpm === undefined ? "" : t("limitRpm", format().count(rpm)),
    concurrency === undefined ? "" : t("limitConcurrency", format().count(concurrency)),
  ]
    .filter((limit) => limit !== "")
    .join(" · ");
}
