/**
 * A crowd of clients in one page, which come and go at random: each is what a tab is.
 *
 * What each was told is kept, with what it asked for. `seen` is the highest number that
 * anybody had been shown when it subscribed.
 */
import { connect } from "/static/redpony/realtime.js";

const LOST = "5-3"; // a position that the server knows nothing of

export function storm(url, transport, channel, seed) {
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const pick = (list) => list[Math.floor(random() * list.length)];
  const places = [["0-0", -1]];
  const members = [];
  let going = true;
  let seen = -1;

  function follow(member, since) {
    const told = [];
    let last = since;
    member.told.push({ since, told, seen });
    member.stop = member.live.subscribe(channel, {
      since: since?.[0],
      onmessage(number, { position }) {
        told.push(number);
        seen = Math.max(seen, number);
        last = [position, number];
        if (random() < 0.2) places.push(last);
      },
      onreset: () => told.push("reset"),
      onrefused: (why) => told.push(why),
    });
    member.again = () => {
      member.stop();
      if (last) follow(member, last);
      else follow(member);
    };
  }

  function come() {
    const member = { live: connect(url, { transport }), told: [], here: true };
    members.push(member);
    const chance = random();
    follow(member, chance < 0.4 ? undefined : chance < 0.55 ? [LOST, null] : pick(places));
  }

  function act() {
    const here = members.filter((each) => each.here);
    const chance = random();
    const member = pick(here);
    if (here.length < 2 || (chance < 0.3 && here.length < 8)) come();
    else if (chance < 0.6) {
      // As a tab that is closed; most of all the leader's, which came first.
      const gone = random() < 0.5 ? here[0] : member;
      gone.here = false;
      gone.live.close();
    } else if (chance < 0.95) member.again();
    else member.live.reconnect();
  }

  come();
  (async () => {
    while (going) {
      await new Promise((resolve) => setTimeout(resolve, 60 * random()));
      if (going) act();
    }
  })();
  return {
    end: () => (going = false),
    behind: (last) =>
      members.filter(({ here, told }) => here && told.at(-1).told.at(-1) !== last).length,
    silent: () => members.filter(({ here, told }) => here && !told.at(-1).told.length).length,
    report: () => members.map(({ here, told }) => ({ here, told })),
    leave: () => members.forEach(({ live }) => live.close()),
  };
}
