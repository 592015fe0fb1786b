/** How the picture looks. Steps are told apart by place and height too, not by colour alone. */
export const TIMELINE_STYLE: string = `
svg { --card: #ffffff; --edge: #d0d7de; --grid: #eaeef2; --band: #f6f8fa; --text: #1f2328; --faint: #59636e;
  --wait: #9aa4af; --elsewhere: #86a8d8; --download: #1f6feb; --unpack: #d97706; --commit: #8250df;
  --other: #6e7781; --retry: #cf222e; --inside: #ffffff }
@media (prefers-color-scheme: dark) {
  svg { --card: #0d1117; --edge: #30363d; --grid: #21262d; --band: #151b23; --text: #f0f6fc; --faint: #9198a1;
    --wait: #59636e; --elsewhere: #4a6591; --download: #4493f8; --unpack: #e3a02b; --commit: #ab7df8;
    --other: #8b949e; --retry: #ff6a5f; --inside: #0d1117 }
}
text { fill: var(--text); font: 12px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif }
.headline { font-size: 16px; font-weight: 600 }
.name { font-weight: 600 }
.faint, .tick { fill: var(--faint); font-size: 11px }
.digest { font-family: ui-monospace, 'DejaVu Sans Mono', monospace; font-size: 11px }
.number { fill: var(--text); font-size: 11px; text-anchor: end }
.right { text-anchor: end }
.middle { text-anchor: middle }
.error { fill: var(--retry); font-size: 12px }
.inside { fill: var(--inside); font-size: 11px }
.card { fill: var(--card); stroke: var(--edge) }
.band { fill: var(--band) }
.grid { stroke: var(--grid) }
.end { stroke: var(--retry); stroke-width: 1.5 }
.wait { fill: var(--wait) }
.elsewhere { fill: var(--elsewhere) }
.download { fill: var(--download) }
.unpack { fill: var(--unpack) }
.commit { fill: var(--commit) }
.other { fill: var(--other) }
.retry { fill: var(--retry) }
.open { opacity: 0.6 }
.rate { fill: var(--download); fill-opacity: 0.25; stroke: var(--download); stroke-width: 1 }
`.replaceAll('\n', '\n  ');
