import { useEffect, useState } from "preact/hooks";
import { type Dict, dict, list, number, text } from "../../wire/json.ts";
import { Fact } from "./parts.tsx";
import { moment, word } from "./shape.ts";
import { format, obstacleWords, session, t, wordsOf } from "./state.tsx";

/** Why a request went where it went, asked for when it is opened. */
export function Decision({ id }: { id: string }) {
  const [record, setRecord] = useState<Dict>();
  const [fault, setFault] = useState<string>();
  useEffect(() => {
    const leaving = new AbortController();
    void (async () => {
      const call = { path: `/explain/${encodeURIComponent(id)}`, signal: leaving.signal };
      const reply = await session.call(call);
      if (leaving.signal.aborted) return;
      if (reply.ok) setRecord(reply.body);
      else if (reply.kind === "offline") setFault(t("offline"));
      else setFault(reply.code === "request_not_found" ? t("decisionGone") : wordsOf(reply));
    })();
    return () => leaving.abort();
  }, [id]);
  if (fault !== undefined) return <p class="fault">{fault}</p>;
  if (record === undefined) return <p class="quiet">{t("loading")}</p>;
  return (
    <div class="decision">
      <Facts record={record} />
      <Attempts attempts={list(record["attempts"]).map(dict)} />
      {list(record["choices"])
        .map(dict)
        .map((choice, at) => (
          <Choice key={at} choice={choice} number={at + 1} />
        ))}
      <CopyRecord record={record} />
    </div>
  );
}

function Facts({ record }: { record: Dict }) {
  const { count, measured } = format();
  const failure = dict(record["failure"]);
  const tier = dict(record["tier"]);
  const kind = text(failure["kind"]);
  const waited = number(record["waited_ms"]) ?? 0;
  const removed = list(record["removed"]).map(word);
  const hasTier = text(tier["asked"]) !== undefined || text(tier["served"]) !== undefined;
  return (
    <dl class="facts">
      <Fact name={t("id")}>
        <span class="code">{word(record["id"])}</span>
      </Fact>
      <Fact name={t("failure")}>
        {kind !== undefined && [kind, text(failure["message"])].filter(Boolean).join(": ")}
      </Fact>
      <Fact name={t("session")}>{sessionWords(dict(record["session"]))}</Fact>
      <Fact name={t("effort")}>{text(record["effort"])}</Fact>
      <Fact name={t("tier")}>
        {hasTier &&
          t("tierLine", text(tier["asked"]) ?? t("none"), text(tier["served"]) ?? t("unknown"))}
      </Fact>
      <Fact name={t("waited")}>{waited > 0 && measured(waited)}</Fact>
      <Fact name={t("removed")}>{removed.length > 0 && removed.join(", ")}</Fact>
      <Fact name={t("bytes")}>{count(number(record["bytes"]) ?? 0)}</Fact>
    </dl>
  );
}

function sessionWords(told: Dict): string {
  const key = text(told["key"]);
  const before = text(told["account_before"]);
  const known =
    key === undefined
      ? t("sessionNone")
      : t(key === "named by the client" ? "sessionNamed" : "sessionDerived");
  return before === undefined ? known : t("sessionWithAccount", known, before);
}

function Attempts({ attempts }: { attempts: readonly Dict[] }) {
  const { clock, measured } = format();
  if (attempts.length === 0) return null;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, which must be possible with the keyboard
    <div class="scroll" tabIndex={0}>
      <table class="small">
        <caption>{t("attempts")}</caption>
        <thead>
          <tr>
            <th scope="col">{t("time")}</th>
            <th scope="col">{t("account")}</th>
            <th scope="col">{t("outcome")}</th>
            <th scope="col" class="number">
              {t("took")}
            </th>
            <th scope="col">{t("message")}</th>
          </tr>
        </thead>
        <tbody>
          {attempts.map((attempt, at) => {
            const startedMs = moment(attempt["started_at"]);
            const outcome = word(attempt["outcome"]);
            return (
              <tr key={at}>
                <td class="figures">{startedMs === undefined ? "" : clock(startedMs)}</td>
                <td>{word(attempt["account"])}</td>
                <td class={outcome === "served" ? "good" : "bad"}>{outcome}</td>
                <td class="number">{measured(number(attempt["took_ms"]) ?? 0)}</td>
                <td class="words">
                  {[
                    text(attempt["message"]),
                    attempt["token_renewed"] === true ? t("tokenRenewed") : undefined,
                    ...list(attempt["removed"]).map((name) => `${t("removed")}: ${word(name)}`),
                  ]
                    .filter(Boolean)
                    .join("; ")}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function Choice({ choice, number: at }: { choice: Dict; number: number }) {
  const accounts = dict(choice["accounts"]);
  const usable = number(accounts["usable"]);
  const excluded = Object.entries(dict(accounts["excluded"])).map(
    ([why, times]) => `${obstacleWords(why)}: ${String(times)}`,
  );
  return (
    <section class="choice">
      <h2>{t("choice", at, text(choice["account"]) ?? t("nobody"))}</h2>
      <p>{word(choice["why"])}</p>
      <p class="quiet">
        {usable !== undefined && t("usableOf", usable, number(accounts["total"]) ?? 0)}
        {excluded.length > 0 && ` · ${excluded.join(" · ")}`}
      </p>
      <Candidates candidates={list(choice["candidates"]).map(dict)} />
    </section>
  );
}

function Candidates({ candidates }: { candidates: readonly Dict[] }) {
  const { share } = format();
  if (candidates.length === 0) return null;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, which must be possible with the keyboard
    <div class="scroll" tabIndex={0}>
      <table class="small">
        <caption>{t("candidates")}</caption>
        <thead>
          <tr>
            <th scope="col">{t("account")}</th>
            <th scope="col" class="number">
              {t("score")}
            </th>
            <th scope="col" class="number">
              {t("inFlight")}
            </th>
            <th scope="col">{t("excluded")}</th>
          </tr>
        </thead>
        <tbody>
          {candidates.map((candidate, at) => {
            const excluded = dict(candidate["excluded"]);
            const why = [obstacleWords(word(excluded["why"])), word(excluded["reason"])].filter(
              Boolean,
            );
            return (
              <tr key={at}>
                <td>{word(candidate["account"])}</td>
                <td class="number">{share(number(candidate["score"]) ?? 0)}</td>
                <td class="number">{number(candidate["in_flight"]) ?? 0}</td>
                <td class="words">
                  {candidate["chosen"] === true ? (
                    <span class="good">{t("chosen")}</span>
                  ) : (
                    why.join(": ") || <span class="quiet">{t("usable")}</span>
                  )}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function CopyRecord({ record }: { record: Dict }) {
  const [isCopied, setIsCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard?.writeText(JSON.stringify(record, null, 2));
    setIsCopied(true);
  };
  // Browsers give pages a clipboard on secure origins only.
  if (!isSecureContext) return null;
  return (
    <button type="button" onClick={() => void copy().catch(() => {})}>
      {t(isCopied ? "loginCopied" : "copyRecord")}
    </button>
  );
}
