import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Cell, Confirm, Fact, Opener, StateBadge, When } from "./parts.tsx";
import type { AccountRow, QuotaBar } from "./shape.ts";
import {
  complain,
  distance,
  format,
  obstacleWords,
  roughNowMs,
  session,
  t,
  tell,
} from "./state.tsx";
import { begin, work } from "./work.tsx";

/** An account's line in the table, and below it, once it is opened, all that is known of it. */
export function AccountLines({ row, onChange }: { row: AccountRow; onChange: () => void }) {
  const [isOpen, setIsOpen] = useState(false);
  const { count, share } = format();
  const details = `details-${row.id}`;
  return (
    <>
      <tr class={isOpen ? "opened" : ""}>
        <Cell label={t("account")} kind="name">
          <span class="label">{row.label}</span>
          <span class="quiet">{row.plan ?? ""}</span>
        </Cell>
        <Cell label={t("state")}>
          <StateBadge state={row.state} />
          <Standing row={row} />
        </Cell>
        <Cell label={t("quota")} kind="quota">
          <Bars windows={row.windows} />
        </Cell>
        <Cell label={t("cached")} kind="number">
          {row.cachedShare === undefined ? <Nothing /> : share(row.cachedShare)}
        </Cell>
        <Cell label={t("requests")} kind="number">
          {count(row.requests)}
        </Cell>
        <Cell label={t("errors")} kind="number">
          {row.errors === 0 ? <span class="quiet">0</span> : count(row.errors)}
        </Cell>
        <Cell label={t("inFlight")} kind="number">
          {row.inFlight === 0 ? <span class="quiet">0</span> : count(row.inFlight)}
        </Cell>
        <Cell label={t("lastUsed")} kind="time">
          <When atMs={row.lastUsedMs} />
        </Cell>
        <Cell label={t("tokenEnds")} kind="time">
          <TokenEnd atMs={row.tokenEndsMs} />
        </Cell>
        <Opener
          isOpen={isOpen}
          details={details}
          label={t("details", row.label)}
          onToggle={() => setIsOpen(!isOpen)}
        />
      </tr>
      {isOpen && (
        <tr id={details} class="details">
          <td colSpan={10}>
            <Details row={row} />
            <Actions row={row} onChange={onChange} />
          </td>
        </tr>
      )}
    </>
  );
}

function Nothing() {
  return <span class="quiet">–</span>;
}

/** Why it is not used, and until when. */
function Standing({ row }: { row: AccountRow }) {
  if (row.isUnsaved) return <span class="note bad">{t("unsaved")}</span>;
  if (row.state === "ready" || row.state === undefined) return null;
  const words = whyOf(row);
  return (
    <span class="note">
      {words}
      {row.untilMs !== undefined && <> · {distance(row.untilMs)}</>}
    </span>
  );
}

/** The proxy's phrase, in the reader's language; where the badge says as much, the evidence. */
function whyOf({ why, state, reason }: AccountRow): string {
  if (state === "disabled" || state === "needs-login") return reason ?? "";
  if (why === undefined) return "";
  return obstacleWords(why);
}

function TokenEnd({ atMs }: { atMs: number | undefined }) {
  if (atMs === undefined) return <span class="quiet">{t("unknown")}</span>;
  const isOver = atMs < roughNowMs.value;
  return (
    <span class={isOver ? "bad" : ""}>
      <When atMs={atMs} />
    </span>
  );
}

// Where a window gets narrow, and where it is as good as spent.
const NARROW = 0.75;
const SPENT = 0.95;

function Bars({ windows }: { windows: readonly QuotaBar[] }) {
  if (windows.length === 0) return <span class="quiet">{t("notMeasured")}</span>;
  return (
    <div class="bars">
      {windows.map((window) => (
        <Bar key={window.name} window={window} />
      ))}
    </div>
  );
}

function Bar({ window }: { window: QuotaBar }) {
  const { name, used, resetsAtMs } = window;
  const shown = Math.min(Math.max(used, 0), 1);
  const level = used >= SPENT ? "spent" : used >= NARROW ? "narrow" : "";
  const percent = format().share(used);
  const isPast = resetsAtMs !== undefined && resetsAtMs < roughNowMs.value;
  return (
    <div class="bar-line">
      <span class="window">{name}</span>
      {/* biome-ignore lint/a11y/useSemanticElements: each browser draws <meter> in a way of its own */}
      <div
        role="meter"
        class={`bar ${level}`}
        aria-label={t("windowMeter", name, percent)}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(shown * 100)}
        aria-valuetext={percent}
      >
        <div style={{ width: `${shown * 100}%` }} />
      </div>
      <span class="percent">{percent}</span>
      <span class="reset" title={resetsAtMs === undefined ? "" : format().moment(resetsAtMs)}>
        {resetsAtMs === undefined
          ? ""
          : isPast
            ? t("wasReset")
            : t("resetsIn", format().span(resetsAtMs - roughNowMs.value))}
      </span>
    </div>
  );
}

function Details({ row }: { row: AccountRow }) {
  const { count, short, moment } = format();
  const { tokens } = row;
  const credits =
    row.hasCredits === undefined
      ? undefined
      : row.hasCredits
        ? (row.creditBalance ?? t("yes"))
        : t("no");
  const rests: ComponentChildren[] = row.modelRests.map(({ model, untilMs }) => (
    <span key={model} class="line">
      {model}
      {untilMs !== undefined && <> · {distance(untilMs)}</>}
    </span>
  ));
  return (
    <dl class="facts">
      <Fact name={t("reason")}>{row.reason}</Fact>
      <Fact name={t("state")}>
        {row.sinceMs !== undefined && (
          <>
            {t("since", moment(row.sinceMs))}
            {row.untilMs !== undefined && <> · {t("until", moment(row.untilMs))}</>}
          </>
        )}
      </Fact>
      <Fact name={t("file")}>
        <span class="code">{row.file}</span>
      </Fact>
      <Fact name={t("tokens")}>
        {t(
          "tokensLine",
          short(tokens.input),
          short(tokens.cached),
          short(tokens.output),
          short(tokens.reasoning),
        )}
      </Fact>
      <Fact name={t("quotaRead")}>
        <When atMs={row.measuredAtMs} />
      </Fact>
      <Fact name={t("credits")}>{credits}</Fact>
      <Fact name={t("lastRefreshed")}>
        <When atMs={row.lastRefreshedMs} none={t("unknown")} />
      </Fact>
      <Fact name={t("tokensReplaced")}>
        {row.replacedMs !== undefined && <When atMs={row.replacedMs} />}
      </Fact>
      <Fact name={t("failuresInRow")}>{row.failuresInRow > 0 && count(row.failuresInRow)}</Fact>
      <Fact name={t("healthFailures")}>{row.failedChecks > 0 && count(row.failedChecks)}</Fact>
      <Fact name={t("modelRests")}>{rests.length > 0 && rests}</Fact>
    </dl>
  );
}

function Actions({ row, onChange }: { row: AccountRow; onChange: () => void }) {
  const [isAsking, setIsAsking] = useState(false);
  const [isActing, setIsActing] = useState(false);
  const isBusy = isActing || work.value?.isRunning === true;
  const { id, label } = row;
  const run = (path: string, title: "refresh" | "checkQuota" | "recover"): void => {
    void begin({ path, title, body: { account_id: id }, onDone: onChange });
  };
  const act = async (
    call: { readonly method: "POST" | "DELETE"; readonly path: string },
    words: string,
  ): Promise<void> => {
    setIsActing(true);
    const reply = await session.call(call);
    setIsActing(false);
    if (reply.ok) tell(words);
    else complain(reply);
    onChange();
  };
  const turn = (): Promise<void> => {
    const isOff = row.state === "disabled";
    const path = `/admin/accounts/${encodeURIComponent(id)}/${isOff ? "enable" : "disable"}`;
    return act({ method: "POST", path }, t(isOff ? "switchedOn" : "switchedOff", label));
  };
  const remove = (): Promise<void> => {
    const named = encodeURIComponent(id);
    const path = `/admin/accounts/${named}?confirm=${named}`;
    return act({ method: "DELETE", path }, t("deleted", label));
  };
  return (
    <div class="row">
      <button type="button" disabled={isBusy} onClick={() => run("/refresh", "refresh")}>
        {t("refresh")}
      </button>
      <button type="button" disabled={isBusy} onClick={() => run("/check-quota", "checkQuota")}>
        {t("checkQuota")}
      </button>
      <button type="button" disabled={isBusy} onClick={() => run("/recover-auth", "recover")}>
        {t("recover")}
      </button>
      <button type="button" disabled={isBusy} onClick={() => void turn()}>
        {t(row.state === "disabled" ? "enable" : "disable")}
      </button>
      <button type="button" class="danger" disabled={isBusy} onClick={() => setIsAsking(true)}>
        {t("delete")}
      </button>
      {isAsking && (
        <Confirm
          title={t("deleteTitle")}
          words={t("deleteText", label, row.file)}
          action={t("delete")}
          isDanger
          onNo={() => setIsAsking(false)}
          onYes={() => {
            setIsAsking(false);
            void remove();
          }}
        />
      )}
    </div>
  );
}
