// The world with its members, links and what moves between them now. The table beside it says the same.

import { geoEqualEarth, geoGraticule10, geoInterpolate, geoPath } from "./vendor/d3-geo.js";
import feature from "./vendor/topojson-feature.js";
import { useEffect, useMemo, useState } from "./vendor/preact-hooks.js";
import { fixed } from "./connection.js";
import { html } from "./parts.js";

const WIDTH = 960;
const HEIGHT = 452;
const projection = geoEqualEarth().rotate([-11, 0]).translate([WIDTH / 2, HEIGHT / 2 + 32]).scale(186);
const path = geoPath(projection);
const LIFE = 7000;
const MOST = 24;

// What an event draws: from whom, how far, in which way.
const DRAWN = {
  sent: { kind: "sent" }, accepted: { kind: "accepted" }, refused: { kind: "withheld" },
  withheld: { kind: "withheld" }, "partly withheld": { kind: "partly" }, received: { kind: "received", inward: true },
};

const RANK = ["sent", "received", "accepted", "partly", "withheld"];

let world = null; // asked for once, whatever view is open

function useWorld() {
  const [found, set] = useState(null);
  useEffect(() => {
    world = world || Promise.all([fixed("/vendor/countries-110m.json"), fixed("/places.json")]).then(([atlas, places]) => {
      const of = {};
      for (const [code, [number]] of Object.entries(places.states)) of[number] = code;
      const lands = feature(atlas, atlas.objects.countries).features
        .filter((one) => one.id !== "010")
        .map((one) => ({ code: of[one.id] || "", d: path(one) }));
      return { lands, places };
    });
    let ended = false;
    world.then((made) => ended || set(made), () => { world = null; });
    return () => { ended = true; };
  }, []);
  return found;
}

function placeOf(code, organisation, places, unplaced) {
  const state = places.states[code];
  if (state && !organisation) return [state[1], state[2]];
  if (places.organisations[code]) return places.organisations[code];
  // A member that no map has: in the ocean, one below the other.
  return [-38, -8 - 11 * unplaced.indexOf(code)];
}

const line = (a, b, share = 1) => {
  const between = geoInterpolate(a, b);
  const steps = 48;
  const points = [];
  for (let n = 0; n <= steps; n++) points.push(between((n / steps) * share));
  return { d: path({ type: "LineString", coordinates: points }), end: projection(points[steps]) };
};

export function WorldMap({ state, events }) {
  const found = useWorld();
  const [now, tick] = useState(0);
  const recent = events.filter((one) => DRAWN[one.what] && performance.now() - one.came < LIFE).slice(-MOST)
    // What did not go lies above what did.
    .sort((a, b) => RANK.indexOf(DRAWN[a.what].kind) - RANK.indexOf(DRAWN[b.what].kind) || a.serial - b.serial);
  useEffect(() => {
    if (!recent.length) return undefined;
    const timer = setTimeout(() => tick(now + 1), 1000);
    return () => clearTimeout(timer);
  }, [now, events.length, recent.length]);
  const members = useMemo(() => {
    if (!found || !state) return [];
    const all = new Map([[state.member, { code: state.member, organisation: state.organisation, own: true, state: "own" }]]);
    for (const peer of state.peers) {
      const before = all.get(peer.member);
      if (!before || peer.state === "linked") all.set(peer.member, { code: peer.member, organisation: peer.organisation, own: false, state: peer.state });
    }
    const unplaced = [...all.keys()].filter((code) => !found.places.states[code] && !found.places.organisations[code]);
    return [...all.values()].map((one) => {
      const at = placeOf(one.code, one.organisation, found.places, unplaced);
      return { ...one, at, xy: projection(at) };
    });
  }, [found, state && JSON.stringify([state.member, state.peers.map((p) => [p.member, p.state])])]);
  const lands = useMemo(() => {
    const codes = new Map(members.map((one) => [one.code, one]));
    return found && html`
      <path class="graticule" d=${path(geoGraticule10())} />
      ${found.lands.map((one) => {
        const member = codes.get(one.code);
        return html`<path class=${`land ${member ? (member.own ? "own" : "member") : ""}`} d=${one.d} />`;
      })}`;
  }, [found, members]);
  const own = members.find((one) => one.own);
  const others = members.filter((one) => !one.own);
  const summary = own ? `Map: ${own.code} and ${others.map((one) => `${one.code} (${one.state})`).join(", ") || "no other member"}.` : "Map of the members.";
  return html`
    <figure class="map">
      <svg viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label=${summary}>
        ${lands}
        <g class="links">${own && others.map((one) => html`<path key=${one.code} class=${`link ${one.state === "linked" ? "linked" : "down"}`} d=${line(own.at, one.at).d} />`)}</g>
        <g class="arcs">${own && recent.map((event) => html`<${Arc} key=${event.serial} event=${event} own=${own} other=${others.find((one) => one.code === event.member)} />`)}</g>
        <g class="places">${members.map((one) => html`<${Place} key=${one.code} one=${one} />`)}</g>
      </svg>
      <figcaption>
        <span class="key"><i class="swatch state"></i>state</span><span class="key"><i class="swatch ring"></i>organisation (a ring, and no place)</span>
        <span class="key"><i class="swatch line sent"></i>on its way</span><span class="key"><i class="swatch line accepted"></i>✓ accepted</span>
        <span class="key"><i class="swatch line received"></i>received</span><span class="key"><i class="swatch line withheld"></i>✕ withheld or refused</span>
        <span class="key"><i class="swatch line partly"></i>◐ partly withheld</span>
      </figcaption>
    </figure>`;
}

function Place({ one }) {
  const [x, y] = one.xy;
  const kind = `place ${one.own ? "own" : ""} ${one.state === "linked" || one.own ? "" : "down"}`;
  return html`<g class=${kind} transform=${`translate(${x} ${y})`}>
    ${one.organisation ? html`<circle class="ring" r="9" /><circle class="core" r="2.2" />` : html`<circle class="dot" r=${one.own ? 6 : 4.6} />`}
    ${one.own && html`<circle class="halo" r="11" />`}
    <text y=${one.organisation || one.own ? -15 : -10} text-anchor="middle">${one.code}${one.state === "linked" || one.own ? "" : " ○"}</text>
  </g>`;
}

function Arc({ event, own, other }) {
  if (!other) return null;
  const { kind, inward } = DRAWN[event.what];
  const stopped = kind === "withheld";
  const made = inward ? line(other.at, own.at) : line(own.at, other.at, stopped ? 0.62 : 1);
  const [x, y] = made.end || [0, 0];
  const mark = { withheld: "✕", partly: "◐", accepted: "✓" }[kind];
  return html`<g class=${`arc ${kind}`}>
    <path class="under" d=${made.d} /><path class="over" d=${made.d} pathLength="1" />
    ${mark && html`<g class="mark" transform=${`translate(${x + (stopped ? 0 : 13)} ${y + (stopped ? 0 : 12)})`}><circle r="8.5" /><text text-anchor="middle" dy="4">${mark}</text></g>`}
  </g>`;
}
