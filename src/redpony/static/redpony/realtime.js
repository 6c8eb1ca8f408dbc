/**
 * Channels of `redpony.realtime` in the browser: in order, none lost, none twice.
 *
 *     import { connect } from "/static/redpony/realtime.js";
 *
 *     const live = connect("/events/");
 *     const stop = live.subscribe("order:7", { onmessage(data) { show(data); }, onreset() { reload(); } });
 *
 * All tabs of a browser have one connection: that of the tab which holds a Web Lock, the
 * leader. It sends on what it hears; where there are no locks each tab leads itself.
 *
 * What always holds: each subscription knows its own position, the number of the last
 * message that it was given. It takes the one after that, drops what it has seen, and asks
 * again from its own place where anything else comes. So the leader may come and go, and
 * read from any place: whatever it sends, nobody is given a message twice, or misses one.
 * Its own memory (`top`, how far it has sent on) saves asking, and decides nothing.
 *
 * The lines that are sent are described in redpony/realtime/websocket.py.
 */

/**
 * @typedef {{position: string | null, event: string}} Meta
 * @typedef {object} Handlers
 * @property {(data: any, meta: Meta) => void} [onmessage]
 * @property {(why: string) => void} [onreset] Messages were lost: look at the state again.
 * @property {(count: number) => void} [onskipped] It was too slow for so many.
 * @property {(why: string) => void} [onrefused] It is not read (any more).
 * @property {string | null} [since] From which position on; else from now on.
 *
 * @typedef {object} Options
 * @property {"auto" | "websocket" | "sse"} [transport]
 * @property {boolean} [shared] Whether tabs have one connection; true unless you say so.
 *
 * @typedef {"connecting" | "open" | "waiting" | "closed"} State
 *
 * @typedef {object} Live
 * @property {State} state
 * @property {string} id Of the connection: for publishers, who may leave it out.
 * @property {((state: State) => void) | null} onstate
 * @property {(channel: string, handlers: Handlers) => () => void} subscribe
 * @property {(channel: string, data: any) => Promise<any>} send Resolves to the reply.
 * @property {() => void} reconnect Do it now: the user has logged in.
 * @property {() => void} close
 *
 * @typedef {Record<string, any>} Line
 * @typedef {{name: string, on: Handlers, at?: string | null, near?: boolean, asked?: boolean}} Reader
 * @typedef {{tabs: Set<string>, born: number, top?: string | null, ask?: string, carried?: boolean, told?: boolean}} Entry
 * @typedef {{say?: (line: Line) => void, close: () => void, heard?: boolean, dog?: number}} Link
 */

/**
 * How far position b is ahead of a; NaN where that can't be known: another epoch.
 *
 * @param {string} a
 * @param {string} b
 */
function ahead(a, b) {
  const [epoch, offset] = a.split("-");
  const [other, further] = b.split("-");
  return epoch === other || epoch === "0" ? +further - +offset : NaN;
}

/**
 * The one to read from for both.
 *
 * @param {string | undefined} a
 * @param {string} b
 */
function older(a, b) {
  if (!a) return b;
  const distance = ahead(a, b);
  return (isNaN(distance) ? parseInt(b) - parseInt(a) : distance) < 0 ? b : a;
}

/** @param {Line} line */
const channelOf = (line) =>
  line.c ?? line.at ?? line.subscribed ?? line.reset ?? line.skipped ?? line.refused ?? line.unsubscribed;

/** @param {Line} line */
const refusal = (line) => line.refused ?? (line.why === "asked" ? undefined : line.unsubscribed);

/**
 * Have a connection to a URL whose view returns `EventStream(request)`.
 *
 * @param {string | URL} url
 * @param {Options} [options]
 * @returns {Live}
 */
export function connect(url, options = {}) {
  const { transport = "auto", shared = true } = options;
  const target = new URL(url, location.href);
  const group = `redpony 1 ${transport} ${target}`;
  const tab = Math.random().toString(36).slice(2);
  const born = Date.now();
  /** @type {Set<Reader>} */
  const readers = new Set();
  /** @type {Map<string, {resolve: (data: any) => void, reject: (error: Error) => void, line: Line, said?: boolean}>} */
  const sends = new Map();
  let sent = 0;
  let canSend = false;
  /** @type {BroadcastChannel | undefined} */
  let air;
  /** @type {ReturnType<typeof lead> | undefined} */
  let leader;
  /** @type {(() => void) | undefined} */
  let leave;
  /** @type {number | undefined} */
  let timer;

  /** @type {Live} */
  const live = {
    state: "closed",
    id: "",
    onstate: null,
    subscribe(name, on) {
      if (!/^[^\s,@]{1,200}$/.test(name)) throw new TypeError(`${name} is no channel's name`);
      const at = on.since ?? undefined;
      if (at !== undefined && !/^\d+-\d+$/.test(at)) throw new TypeError(`${at} is no position`);
      /** @type {Reader} */
      const reader = { name, on, at };
      readers.add(reader);
      if (!leave) join();
      else tell({ want: [[name, at]] });
      return () => drop(reader);
    },
    send(name, data) {
      return new Promise((resolve, reject) => {
        const id = `${tab} ${++sent}`;
        sends.set(id, { resolve, reject, line: { send: name, d: data, id } });
        if (!leave) join();
        tell({ need: 1 });
        flush();
      });
    },
    reconnect: () => tell({ redo: 1 }),
    close() {
      removeEventListener("pagehide", quit);
      removeEventListener("pageshow", back);
      removeEventListener("online", poke);
      document.removeEventListener("visibilitychange", poke);
      readers.clear();
      quit();
      settle("closed");
    },
  };

  /** @param {Line} message */
  function tell(message) {
    message.tab = tab;
    message.born = born;
    if (leader) leader.take(message);
    else air?.postMessage(message);
  }

  const poke = () => {
    if (document.visibilityState === "visible") tell({ poke: 1 });
  };

  /** @param {PageTransitionEvent} event */
  const back = (event) => {
    if (event.persisted) join();
  };

  function join() {
    const letGo = new AbortController();
    const { signal } = letGo;
    /** @type {() => void} */
    let over;
    /** @type {Promise<void>} */
    const until = new Promise((resolve) => (over = resolve));
    leave = () => {
      leave = undefined;
      letGo.abort();
      leader?.stop();
      leader = undefined;
      air?.close();
      air = undefined;
      over();
    };
    const begin = () => {
      if (signal.aborted) return;
      leader = lead(signal);
      leader.spread({ who: 1, state: "connecting", id: "" });
    };
    if (!shared || !navigator.locks || !self.BroadcastChannel) return begin();
    air = new BroadcastChannel(group);
    air.onmessage = ({ data }) => {
      if (data.to && data.to !== tab) return;
      // What tabs say is for the leader, what the leader says for the others.
      if (data.tab) leader?.take(data);
      else if (!leader) hear(data);
    };
    // Who holds its tab's own lock is alive; the leader waits for it, to hear of its end.
    hold(group + tab, () => tell({ want: wants() }));
    hold(group, begin);

    /**
     * @param {string} name
     * @param {() => void} then
     */
    function hold(name, then) {
      navigator.locks
        .request(name, { signal }, () => (then(), until))
        .catch((error) => signal.aborted || reportError(error));
    }
  }

  function quit() {
    leave?.();
    state("closed");
  }

  const wants = () =>
    [...readers].map((reader) => {
      reader.asked = false;
      return [reader.name, reader.at];
    });

  /** @param {Reader} reader */
  function drop(reader) {
    readers.delete(reader);
    if (![...readers].some(({ name }) => name === reader.name)) tell({ drop: reader.name });
  }

  /**
   * What the leader says.
   *
   * @param {Line} message
   */
  function hear(message) {
    if (message.who) {
      settle("lost", true);
      tell({ want: wants(), need: sends.size });
    }
    if (message.fail) settle(message.fail);
    if (message.state) {
      live.id = message.id;
      canSend = message.sends;
      clearTimeout(timer);
      // Each tab wakes the leader: one that is not seen may sleep for long.
      if (message.state === "waiting") timer = setTimeout(() => tell({ poke: 1 }), message.pause);
      if (message.state !== "open") settle("lost", true);
      state(message.state);
      flush();
    }
    for (const line of message.lines ?? []) {
      if ("reply" in line) {
        const asked = sends.get(line.reply);
        sends.delete(line.reply);
        if (line.error) asked?.reject(new Error(line.error));
        else asked?.resolve(line.d);
      }
      const name = channelOf(line);
      if (name) for (const reader of [...readers]) if (reader.name === name) take(reader, line);
    }
  }

  /** @param {State} now */
  function state(now) {
    if (live.state === now) return;
    live.state = now;
    call(live.onstate, now);
  }

  function flush() {
    if (live.state !== "open") return;
    if (!canSend) return settle("no WebSocket");
    for (const each of sends.values()) {
      if (!each.said) tell({ pass: each.line });
      each.said = true;
    }
  }

  /**
   * Fail what has been sent, or all.
   *
   * @param {string} why
   * @param {boolean} [said]
   */
  function settle(why, said) {
    for (const [id, each] of sends) {
      if (said && !each.said) continue;
      sends.delete(id);
      each.reject(new Error(why));
    }
  }

  /** @param {Reader} reader */
  function ask(reader) {
    reader.asked = true;
    tell({ want: [[reader.name, reader.at]] });
  }

  /**
   * A line of a subscription's channel.
   *
   * @param {Reader} reader
   * @param {Line} line
   */
  function take(reader, line) {
    const { on, at } = reader;
    const p = line.p ?? null;
    if (refusal(line)) {
      drop(reader);
      call(on.onrefused, line.why);
    } else if (line.subscribed) {
      reader.asked = false;
      const own = (reader.at ??= line.head ?? p);
      const behind = own && p ? ahead(p, own) : 0;
      // Whether what comes next is meant for this place, too.
      reader.near = behind === 0 && !line.known;
      if (!(behind >= 0)) ask(reader);
    } else if (at === undefined) {
      // Not told yet where it begins.
    } else if (line.reset) {
      if (reader.near || !at || !p) {
        reader.at = p;
        call(on.onreset, line.why);
      } else if (at === p) reader.near = true;
      else ask(reader);
    } else if (line.skipped) {
      if (at && p && ahead(at, p) <= 0) return;
      reader.at = p;
      call(on.onskipped, line.count);
    } else if (line.c || line.at) {
      const distance = at && p ? ahead(at, p) : 1;
      if (distance === 0) reader.near = true;
      if (distance <= 0) return;
      // Some were not for this connection, if that is where it was.
      if (distance === 1 || (line.at && reader.near)) {
        reader.near = true;
        reader.at = p;
        if (line.c) call(on.onmessage, line.d, { position: p, event: line.e ?? "" });
      } else if (!reader.asked) ask(reader);
    }
  }

  /**
   * What the page does wrong is reported, and stops nothing.
   *
   * @param {((...args: any[]) => void) | null | undefined} handler
   * @param {...any} args
   */
  function call(handler, ...args) {
    try {
      handler?.(...args);
    } catch (error) {
      reportError(error);
    }
  }

  // -- the leader -----------------------------------------------------------

  /** @param {AbortSignal} signal */
  function lead(signal) {
    /** @type {Map<string, Entry>} */
    const entries = new Map();
    /** @type {Set<string>} */
    const tabs = new Set([tab]);
    /** @type {Link | undefined} */
    let link;
    /** @type {number | undefined} */
    let hint;
    /** @type {Line} */
    let stands = { state: "connecting", id: "" };
    let needed = false;
    let planned = false;
    let plain = transport === "sse";
    let works = false;
    let silence = 10;
    let opened = 0;
    let tries = 0;

    return { take: heed, spread, stop: unlink };

    /** @param {Line} message */
    function spread(message) {
      air?.postMessage(message);
      if (!message.to || message.to === tab) hear(message);
    }

    /** @param {Line} more */
    function become(more) {
      spread((stands = { id: "", ...more }));
    }

    /**
     * What a tab says.
     *
     * @param {Line} message
     */
    function heed(message) {
      const from = message.tab;
      if (!tabs.has(from)) {
        tabs.add(from);
        spread({ ...stands, to: from });
        const gone = () => {
          tabs.delete(from);
          for (const entry of entries.values()) entry.tabs.delete(from);
          plan();
        };
        navigator.locks.request(group + from, { signal }, gone).catch(() => {});
        message.poke = 1;
      }
      for (const [name, since] of message.want ?? []) want(message, name, since);
      entries.get(message.drop)?.tabs.delete(from);
      if (message.need) needed = true;
      if (message.pass) {
        if (link?.say && link.heard) link.say(message.pass);
        else spread({ to: from, lines: [{ reply: message.pass.id, error: "lost" }] });
      }
      if (message.redo) unlink();
      if (message.redo || (message.poke && stands.state === "waiting")) become({ state: "connecting" });
      plan();
    }

    /**
     * @param {Line} message
     * @param {string} name
     * @param {string | null | undefined} since
     */
    function want(message, name, since) {
      const entry = entries.get(name) ?? { tabs: new Set(), born: 0 };
      entries.set(name, entry);
      entry.tabs.add(message.tab);
      entry.born = Math.max(entry.born, message.born);
      const { top } = entry;
      // What it is ahead of comes to it by itself.
      if (since && !(top && ahead(top, since) >= 0)) entry.ask = older(entry.ask, since);
      else if (entry.told) spread({ to: message.tab, lines: [{ subscribed: name, p: top, known: 1 }] });
    }

    /**
     * From where on the connection is to carry a channel, as of now.
     *
     * @param {Entry} entry
     */
    function start(entry) {
      const since = entry.ask ?? entry.top ?? undefined;
      entry.top ??= since;
      entry.ask = undefined;
      entry.carried = true;
      return since;
    }

    /** Do soon what is to be done. */
    function plan() {
      if (planned) return;
      planned = true;
      const act = () => {
        planned = false;
        if (!signal.aborted) carry();
      };
      // Each change costs a request there.
      if (plain) setTimeout(act, 50);
      else queueMicrotask(act);
    }

    /** Have the connection carry what is wanted. */
    function carry() {
      for (const [name, entry] of entries) {
        if (entry.tabs.size) continue;
        entries.delete(name);
        if (entry.carried) link?.say?.({ unsubscribe: name });
      }
      if (!entries.size && !needed) {
        if (link || stands.state !== "closed") {
          unlink();
          become({ state: "closed" });
        }
        return;
      }
      if (!link) {
        if (stands.state !== "waiting") dial();
        return;
      }
      if (!link.heard) return;
      for (const [name, entry] of entries) {
        if (entry.carried && !entry.ask) continue;
        if (!link.say) return dial();
        link.say({ subscribe: name, since: start(entry) });
      }
    }

    function unlink() {
      const before = link;
      link = undefined;
      clearTimeout(before?.dog);
      before?.close();
      for (const entry of entries.values()) entry.carried = entry.told = false;
    }

    function dial() {
      unlink();
      // With events it stays open while the set of channels changes.
      if (stands.state !== "open" || stands.sends) become({ state: "connecting" });
      opened = Date.now();
      silence = 10;
      if (plain) listen();
      else talk();
    }

    function talk() {
      const address = new URL(target);
      address.protocol = address.protocol.replace("http", "ws");
      const socket = new WebSocket(address);
      /** @type {Link} */
      const mine = {
        say: (line) => socket.send(JSON.stringify(line)),
        close: () => socket.close(),
      };
      link = mine;
      watch(mine);
      socket.onmessage = ({ data }) => receive(mine, data.split("\n"));
      socket.onclose = () => lost(mine);
    }

    async function listen() {
      const address = new URL(target);
      const query = address.searchParams;
      query.set("redpony", "1");
      for (const [name, entry] of entries) {
        query.append("channel", name);
        const since = start(entry);
        if (since) query.append("since", `${name}@${since}`);
      }
      const aborter = new AbortController();
      /** @type {Link} */
      const mine = { close: () => aborter.abort() };
      link = mine;
      watch(mine);
      try {
        const answer = await fetch(address, {
          signal: aborter.signal,
          headers: { Accept: "text/event-stream" },
          credentials: "include",
          redirect: "manual",
          cache: "no-store",
        });
        if (!answer.ok || !answer.body) {
          // A login page is one, too.
          if ([0, 401, 403, 404, 410].includes(answer.status) && link === mine) {
            needed = false;
            digest([...entries.keys()].map((name) => ({ refused: name, why: "forbidden" })));
            // Nothing can be sent where nothing may be read.
            spread({ fail: "forbidden" });
          }
          throw 0;
        }
        const body = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let rest = ""; ; ) {
          const { value, done } = await body.read();
          if (done) break;
          const blocks = (rest + value).split("\n\n");
          rest = blocks.pop() ?? "";
          receive(mine, blocks.map((block) => block.slice(6)));
        }
      } catch {
        // The same as its end.
      }
      lost(mine);
    }

    /**
     * A connection that is silent for too long is none.
     *
     * @param {Link} mine
     */
    function watch(mine) {
      clearTimeout(mine.dog);
      mine.dog = setTimeout(() => lost(mine), 1000 * silence);
    }

    /**
     * @param {Link} mine
     * @param {string[]} texts
     */
    function receive(mine, texts) {
      if (link !== mine) return;
      const lines = texts.filter(Boolean).map((text) => JSON.parse(text));
      for (const line of lines) {
        if (line.bye) hint = line.retry;
        if (!line.hello) continue;
        silence = 2.5 * line.heartbeat;
        if (mine.say) works = true;
        else if (works && transport === "auto") {
          // The server was away; now it is there, for a WebSocket, too.
          works = plain = false;
          return dial();
        }
        mine.heard = true;
        become({ state: "open", id: line.hello, sends: !!mine.say });
        plan();
      }
      watch(mine);
      digest(lines);
    }

    /** @param {Line[]} lines */
    function digest(lines) {
      let redo = false;
      const told = lines.filter((line) => {
        const entry = entries.get(channelOf(line));
        if (!entry) return "reply" in line;
        // Who comes now begins where the channel is.
        const p = line.head ?? line.p ?? null;
        if (line.subscribed) entry.told = true;
        if ("p" in line || line.c) {
          if (!entry.top || !p || line.reset || !(ahead(entry.top, p) <= 0)) entry.top = p;
        } else if (refusal(line)) {
          // For a tab that is younger than the connection it may be another user's.
          if (entry.born > opened) return !(redo = true);
          entries.delete(channelOf(line));
        }
        return true;
      });
      if (told.length) spread({ lines: told });
      if (redo) dial();
      else plan();
    }

    /** @param {Link} mine */
    function lost(mine) {
      if (link !== mine) return;
      unlink();
      const { heard } = mine;
      if (transport === "auto") {
        // Where WebSockets do not get through events may.
        plain = !heard && !plain;
        if (plain) return dial();
      }
      if (heard && Date.now() - opened > 1e4) tries = 0;
      const pause = hint ?? Math.random() * Math.min(3e4, 1e3 * 2 ** tries++);
      hint = undefined;
      become({ state: "waiting", pause });
      plan();
    }
  }

  addEventListener("pagehide", quit);
  addEventListener("pageshow", back);
  addEventListener("online", poke);
  document.addEventListener("visibilitychange", poke);
  return live;
}
