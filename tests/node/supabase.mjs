// supabase-js as an app has it, with a storage of its own in a file.
//
//   supabase.mjs URL KEY FILE login           signs in
//   supabase.mjs URL KEY FILE life            takes up the session, reads, asks who it is, refreshes, reads again
//   supabase.mjs URL KEY FILE refresh         refreshes, and says what came of it
//   supabase.mjs URL KEY FILE auto SECONDS    lives on with its own automatic refresh, reading all the time
//
// Prints JSON; exit 1 when anything but `logout` fails.
import { readFileSync, writeFileSync } from "node:fs";
import { createClient } from "@supabase/supabase-js";

const [url, key, file, command, argument] = process.argv.slice(2);
const read = () => {
  try { return JSON.parse(readFileSync(file, "utf8")); } catch { return {}; }
};
const storage = {
  getItem: (name) => read()[name] ?? null,
  setItem: (name, value) => writeFileSync(file, JSON.stringify({ ...read(), [name]: value })),
  removeItem: (name) => {
    const { [name]: _, ...rest } = read();
    writeFileSync(file, JSON.stringify(rest));
  },
};
const client = createClient(url, key, { auth: { storage, autoRefreshToken: command === "auto" } });

const must = ({ data, error }) => {
  if (error) {
    console.error(error);
    process.exit(1);
  }
  return data;
};
const shown = ({ access_token, refresh_token, expires_in, expires_at, user }) =>
  ({ access_token, refresh_token, expires_in, expires_at, user: user.id });
const rows = async () => must(await client.from("todos").select("*")).length;

const commands = {
  login: async () => {
    const { session } = must(await client.auth.signInWithPassword({ email: "ann@example.test", password: "x" }));
    return { session: shown(session), rows: await rows() };
  },
  life: async () => {
    const { session } = must(await client.auth.getSession());
    const before = await rows();
    const { user } = must(await client.auth.getUser());
    const refreshed = must(await client.auth.refreshSession());
    return { session: shown(session), user: user.id, refreshed: shown(refreshed.session), rows: [before, await rows()] };
  },
  refresh: async () => ({ session: shown(must(await client.auth.refreshSession()).session) }),
  auto: async () => {
    const end = Date.now() + Number(argument) * 1000;
    const events = [];
    client.auth.onAuthStateChange((event) => { events.push(event); });
    let count = 0;
    while (Date.now() < end) {
      await rows();
      count += 1;
      await new Promise((done) => setTimeout(done, 100));
    }
    return { count, events };
  },
};
console.log(JSON.stringify(await commands[command]()));
process.exit(0);
