import { useEffect, useRef, useState } from "preact/hooks";
import { format, nowMs, session, t, wordsOf } from "./state.tsx";

/** Asks for the key. */
export function SignIn() {
  const [key, setKey] = useState("");
  const [isChecking, setIsChecking] = useState(false);
  const [blockedUntilMs, setBlockedUntilMs] = useState(0);
  const field = useRef<HTMLInputElement>(null);
  const notice = session.notice.value;
  useEffect(() => field.current?.focus(), []);
  useEffect(() => {
    if (typeof notice !== "object" || notice.code !== "too_many_wrong_keys") return;
    setBlockedUntilMs(Date.now() + (notice.retryAfterSec ?? 60) * 1000);
  }, [notice]);
  const blockedMs = blockedUntilMs - nowMs.value;
  const isBlocked = blockedMs > 0;

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    if (key.trim() === "" || isChecking || isBlocked) return;
    setIsChecking(true);
    await session.signIn(key.trim());
    setIsChecking(false);
    field.current?.select();
  };
  const words = (): string | undefined => {
    if (isBlocked) return t("keyBlocked", format().span(blockedMs + 999));
    if (notice === "expired") return t("keyExpired");
    if (notice === undefined || notice.code === "too_many_wrong_keys") return undefined;
    return wordsOf(notice);
  };
  const said = words();
  return (
    <form class="card sign-in" onSubmit={(event) => void submit(event)}>
      <h1>{t("signIn")}</h1>
      <label for="key">{t("key")}</label>
      <input
        id="key"
        ref={field}
        type="password"
        autocomplete="off"
        spellcheck={false}
        value={key}
        aria-invalid={said !== undefined}
        aria-describedby="key-hint key-fault"
        onInput={({ currentTarget }) => setKey(currentTarget.value)}
      />
      <p id="key-fault" role="alert" class="fault">
        {said}
      </p>
      <button type="submit" class="primary" disabled={isChecking || isBlocked}>
        {isChecking ? t("checkingKey") : t("signIn")}
      </button>
      <p id="key-hint" class="quiet">
        {t("signInHint")} {t("keyKept")}
      </p>
    </form>
  );
}
