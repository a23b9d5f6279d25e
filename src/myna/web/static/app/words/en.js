// English. Every key stands in zh.js too; a test holds them together.
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
  "shell.skip": "Skip to the content",
  "shell.pages": "Pages",
  "shell.light": "Use the light theme",
  "shell.dark": "Use the dark theme",
  "shell.leave": "Sign out",
  "notice.close": "Close this message",

  "signIn.title": "Sign in",
  "signIn.how": "This server asks for a key. It stays in this tab and is forgotten with it.",
  "signIn.key": "Key",
  "signIn.show": "Show",
  "signIn.go": "Sign in",
  "signIn.where": "On the machine that Myna runs on, the command “myna key” prints it.",
  "signIn.empty": "Enter a key first.",
  "signIn.strange": "A key has no spaces and only plain letters, digits and signs; copy it again.",
  "signIn.wrong": "The server doesn't know this key; copy it again, or ask whoever runs the server for one.",
  "signIn.refused": "The server no longer takes your key; sign in again. It said: {message}",

  "away.title": "The server doesn't answer",
  "away.again": "Try again",

  "error.unreachable": "The server can't be reached; see whether it runs, then try again.",
  "error.status": "The server answered with the status {status}.",
  "error.comeBack": "Try again in {seconds} s.",
  "error.comeBackLater": "Try again in a while.",
};
