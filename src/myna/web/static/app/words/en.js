// English. Every key is also in zh.js; a test compares them.
import { dashboard } from "./en/dashboard.js";
import { parameters } from "./en/parameters.js";
import { playground } from "./en/playground.js";

/** @type {Record<string, string>} */
export const en = {
  ...dashboard,
  ...parameters,
  ...playground,

  "page.playground": "Playground",
  "page.dashboard": "Dashboard",
  "shell.skip": "Skip to content",
  "shell.pages": "Pages",
  "shell.light": "Use the light theme",
  "shell.dark": "Use the dark theme",
  "shell.leave": "Sign out",
  "notice.close": "Close this message",

  "signIn.title": "Sign in",
  "signIn.how": "This server requires a key. The key is kept only in this tab.",
  "signIn.key": "Key",
  "signIn.show": "Show",
  "signIn.go": "Sign in",
  "signIn.where": "On the machine that runs Myna, the command “myna key” prints it.",
  "signIn.empty": "Enter a key first.",
  "signIn.strange": "Keys contain no spaces, only plain letters, digits and symbols; copy the key again.",
  "signIn.wrong": "The server doesn't know this key; copy it again, or ask the administrator of the server for one.",
  "signIn.usedLink": "This sign-in link has expired or was used before; “myna key link” prints a new one.",
  "signIn.refused": "The server no longer accepts your key; sign in again. Its message: {message}",

  "away.title": "The server doesn't answer",
  "away.again": "Try again",

  "error.unreachable": "The server can't be reached. Check that it is running, then try again.",
  "error.status": "The server responded with status {status}.",
  "error.comeBack": "Try again in {seconds} s.",
  "error.comeBackLater": "Try again later.",
};
