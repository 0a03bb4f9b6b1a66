import { useEffect, useRef, useState } from "preact/hooks";
import { type Dict, dict, list, text } from "../../wire/json.ts";
import { Dialog } from "./parts.tsx";
import { moment, word } from "./shape.ts";
import { format, nowMs, session, t, wordsOf } from "./state.tsx";
import { Outcomes, outcomeWords, type WorkItem } from "./work.tsx";

/** How an account comes in. */
export type Step =
  | { readonly kind: "choice" }
  | { readonly kind: "browser" | "device" }
  | { readonly kind: "import"; readonly files: readonly File[] };

/** The dialog by which accounts come in. */
export function AddAccount({
  first,
  onClose,
  onChange,
}: {
  first: Step;
  onClose: () => void;
  onChange: () => void;
}) {
  const [step, setStep] = useState(first);
  switch (step.kind) {
    case "choice":
      return (
        <Dialog title={t("add")} onClose={onClose}>
          <div class="choices">
            <button type="button" onClick={() => setStep({ kind: "browser" })}>
              {t("logInBrowser")}
            </button>
            <button type="button" onClick={() => setStep({ kind: "device" })}>
              {t("logInDevice")}
            </button>
            <FileChooser onFiles={(files) => setStep({ kind: "import", files })} />
          </div>
        </Dialog>
      );
    case "browser":
    case "device":
      return <Login method={step.kind} onClose={onClose} onChange={onChange} />;
    case "import":
      return <Import files={step.files} onClose={onClose} onChange={onChange} />;
  }
}

function FileChooser({ onFiles }: { onFiles: (files: readonly File[]) => void }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <div class="drop">
      <input
        ref={input}
        type="file"
        multiple
        class="hidden"
        tabIndex={-1}
        aria-label={t("chooseFiles")}
        accept=".json,.jsonl,.ndjson,.txt,application/json"
        onChange={({ currentTarget }) => {
          const files = [...(currentTarget.files ?? [])];
          if (files.length > 0) onFiles(files);
        }}
      />
      <button type="button" onClick={() => input.current?.click()}>
        {t("importFiles")}
      </button>
      <p>{t("dropHere")}</p>
      <p class="quiet">{t("dropHint")}</p>
    </div>
  );
}

// What the proxy takes at a time.
const MOST_BYTES = 1024 * 1024;

function Import({
  files,
  onClose,
  onChange,
}: {
  files: readonly File[];
  onClose: () => void;
  onChange: () => void;
}) {
  const [done, setDone] = useState(0);
  const [items, setItems] = useState<readonly WorkItem[]>([]);
  // These files are imported once.
  useEffect(() => {
    void (async () => {
      for (const [at, file] of files.entries()) {
        const found = await importFile(file);
        setItems((before) => [...before, ...found]);
        setDone(at + 1);
      }
      onChange();
    })();
  }, []);
  const isDone = done === files.length;
  return (
    <Dialog title={t("importFiles")} onClose={onClose}>
      <p role="status" class="quiet">
        {isDone ? t("workDone", t("importFiles")) : t("importing", files[done]?.name ?? "")}
      </p>
      <progress aria-label={t("importFiles")} value={done} max={files.length} />
      <Outcomes items={items} more={0} />
      <div class="row end">
        <button type="button" class="primary" disabled={!isDone} onClick={onClose}>
          {t("close")}
        </button>
      </div>
    </Dialog>
  );
}

async function importFile(file: File): Promise<readonly WorkItem[]> {
  const failed = (reason: string): readonly WorkItem[] => [
    { who: file.name, outcome: "failed", reason },
  ];
  if (file.size > MOST_BYTES) return failed(t("fileTooLarge", file.name));
  const body = await file.text().catch(() => undefined);
  if (body === undefined) return failed(t("unknown"));
  const reply = await session.call({ method: "POST", path: "/admin/accounts", body });
  if (!reply.ok) return failed(reply.kind === "offline" ? t("offline") : wordsOf(reply));
  return list(reply.body["items"])
    .map(dict)
    .map((item) => ({
      who: text(item["account"]) ?? file.name,
      outcome: word(item["outcome"]),
      reason: text(item["reason"]),
    }));
}

/** A login as the proxy tells of it. */
type LoginState = {
  readonly id: string;
  readonly url: string;
  readonly userCode: string | undefined;
  readonly expiresMs: number | undefined;
};

type LoginEnd = { readonly isGood: boolean; readonly words: string };

const ASK_EVERY_MS = 1500;

function Login({
  method,
  onClose,
  onChange,
}: {
  method: "browser" | "device";
  onClose: () => void;
  onChange: () => void;
}) {
  const [login, setLogin] = useState<LoginState>();
  const [end, setEnd] = useState<LoginEnd>();
  const open = useRef<string | undefined>(undefined);

  const conclude = (body: Dict): void => {
    const ending = endingOf(body);
    if (ending === undefined) return;
    open.current = undefined;
    setEnd(ending);
    if (ending.isGood) onChange();
  };
  // One login for as long as the dialog is open.
  useEffect(() => {
    let isLeft = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async (id: string): Promise<void> => {
      const reply = await session.call({ path: `/admin/login/${encodeURIComponent(id)}` });
      if (isLeft || open.current === undefined) return;
      if (reply.ok) conclude(reply.body);
      else if (reply.kind === "refused") setEnd({ isGood: false, words: wordsOf(reply) });
      if (open.current !== undefined) timer = setTimeout(() => void ask(id), ASK_EVERY_MS);
    };
    void (async () => {
      const body = JSON.stringify({ method });
      const reply = await session.call({ method: "POST", path: "/admin/login", body });
      const started = reply.ok ? readLogin(reply.body) : undefined;
      if (isLeft) return cancel(started?.id);
      if (started !== undefined) {
        open.current = started.id;
        setLogin(started);
        await ask(started.id);
      } else if (!reply.ok) {
        const words = reply.kind === "offline" ? t("offline") : wordsOf(reply);
        setEnd({ isGood: false, words: t("loginFailed", words) });
      }
    })();
    return () => {
      isLeft = true;
      clearTimeout(timer);
      cancel(open.current);
    };
  }, []);

  return (
    <Dialog title={t(method === "browser" ? "logInBrowser" : "logInDevice")} onClose={onClose}>
      {end === undefined && login === undefined && <p>{t("loginStarting")}</p>}
      {end === undefined && login !== undefined && (
        <Waiting login={login} method={method} onBody={conclude} />
      )}
      <p role="status" class={end === undefined || end.isGood ? "result" : "result fault"}>
        {end?.words}
      </p>
      <div class="row end">
        <button type="button" class={end === undefined ? "" : "primary"} onClick={onClose}>
          {t(end === undefined ? "cancel" : "close")}
        </button>
      </div>
    </Dialog>
  );
}

/** Nobody waits for this login any more; if it is over, or the proxy gone, so much the better. */
function cancel(id: string | undefined): void {
  if (id === undefined) return;
  void session.call({ method: "DELETE", path: `/admin/login/${encodeURIComponent(id)}` });
}

function readLogin(body: Dict): LoginState {
  return {
    id: word(body["login_id"]),
    url: word(body["url"]),
    userCode: text(body["user_code"]),
    expiresMs: moment(body["expires_at"]),
  };
}

function endingOf(body: Dict): LoginEnd | undefined {
  if (body["state"] === "waiting") return undefined;
  if (body["state"] !== "done") {
    return { isGood: false, words: t("loginFailed", word(body["reason"])) };
  }
  const account = dict(body["account"]);
  const reason = text(account["reason"]);
  const words = t("loginDone", word(account["account"]), outcomeWords(word(account["outcome"])));
  return { isGood: true, words: reason === undefined ? words : `${words}. ${reason}` };
}

function Waiting({
  login,
  method,
  onBody,
}: {
  login: LoginState;
  method: "browser" | "device";
  onBody: (body: Dict) => void;
}) {
  const { url, userCode, expiresMs } = login;
  return (
    <>
      <ol class="steps">
        <li>
          {isWebAddress(url) ? (
            <a class="button primary" href={url} target="_blank" rel="noopener noreferrer">
              {t("loginOpen")}
            </a>
          ) : (
            <span class="fault">{t("loginUnsafe", url)}</span>
          )}
          <p class="quiet">{t("loginOpenHint")}</p>
        </li>
        {method === "device" ? (
          <li>
            <p>{t("loginCode")}</p>
            <UserCode code={userCode ?? ""} />
          </li>
        ) : (
          <li>
            <Paste id={login.id} onBody={onBody} />
          </li>
        )}
      </ol>
      <p class="quiet figures">
        {expiresMs === undefined
          ? ""
          : t("loginWaiting", format().span(Math.max(expiresMs - nowMs.value, 0)))}
      </p>
    </>
  );
}

/** What an issuer names is opened only where it is a page: a `javascript:` address would be run. */
function isWebAddress(address: string): boolean {
  return /^https?:$/.test(URL.parse(address)?.protocol ?? "");
}

function UserCode({ code }: { code: string }) {
  const [isCopied, setIsCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard?.writeText(code);
    setIsCopied(true);
  };
  return (
    <p class="row">
      <strong class="user-code">{code}</strong>
      <button type="button" onClick={() => void copy().catch(() => {})}>
        {t(isCopied ? "loginCopied" : "loginCopy")}
      </button>
    </p>
  );
}

function Paste({ id, onBody }: { id: string; onBody: (body: Dict) => void }) {
  const [address, setAddress] = useState("");
  const [fault, setFault] = useState<string>();
  const [isSending, setIsSending] = useState(false);
  const send = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    if (address.trim() === "" || isSending) return;
    setIsSending(true);
    const reply = await session.call({
      method: "POST",
      path: `/admin/login/${encodeURIComponent(id)}`,
      body: JSON.stringify({ redirect_url: address.trim() }),
    });
    setIsSending(false);
    if (reply.ok) onBody(reply.body);
    else setFault(reply.kind === "offline" ? t("offline") : wordsOf(reply));
  };
  return (
    <form onSubmit={(event) => void send(event)}>
      <label for="redirect">{t("loginPaste")}</label>
      <div class="row">
        <input
          id="redirect"
          class="grow"
          autocomplete="off"
          spellcheck={false}
          value={address}
          aria-describedby="redirect-hint redirect-fault"
          onInput={({ currentTarget }) => setAddress(currentTarget.value)}
        />
        <button type="submit" disabled={isSending || address.trim() === ""}>
          {t("loginFinish")}
        </button>
      </div>
      <p id="redirect-fault" role="alert" class="fault">
        {fault}
      </p>
      <p id="redirect-hint" class="quiet">
        {t("loginPasteHint")}
      </p>
    </form>
  );
}
