"""Line charts as SVG, with nothing but Python: axes linear or logarithmic, a legend at the lines' ends' height on the right."""
import math

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 80, 170, 44, 56
# By how the name of a line begins and ends, so that a queue looks the same in every chart; dashed: not synced to disk.
STYLES = (("leat p50", "#0b6e4f", "2 3"), ("leat", "#0b6e4f", ""), ("redis aof", "#c0392b", ""), ("beanstalkd -f0", "#d68910", ""),
          ("redis", "#c0392b", "6 3"), ("beanstalkd", "#d68910", "6 3"), ("", "#5d6d7e", "2 3"))


def escaped(text):
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def short(value):
    for limit, mark in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{mark}"
    return f"{value:g}"


class Axis:
    def __init__(self, values, begin, end, log):
        self.begin, self.end, self.log = begin, end, log
        values = [v for v in values if not log or v > 0] or [1, 10]
        low, high = min(values), max(values)
        if log:
            self.low, self.high = math.log10(low), math.log10(high)
            if self.high - self.low < 0.3:
                self.low, self.high = self.low - 0.15, self.high + 0.15
        else:
            self.low, self.high = 0, high * 1.08 or 1

    def place(self, value):
        value = math.log10(value) if self.log else value
        return self.begin + (self.end - self.begin) * (value - self.low) / (self.high - self.low)

    def ticks(self):
        if self.log:
            decades = [10 ** d for d in range(math.floor(self.low), math.ceil(self.high) + 1)]
            fine = [d * m for d in decades for m in ((1, 2, 5) if self.high - self.low < 2.5 else (1,))]
            return [t for t in fine if self.low - 0.02 <= math.log10(t) <= self.high + 0.02]
        step = 10 ** math.floor(math.log10(self.high / 4))
        step = next(step * m for m in (1, 2, 5, 10) if self.high / (step * m) <= 6)
        return [step * i for i in range(int(self.high / step) + 1)]


def grid(x, y, x_ticks):
    parts = []
    for tick in x_ticks if x_ticks is not None else x.ticks():
        at = x.place(tick)
        parts.append(f'<line x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{HEIGHT - BOTTOM}" class="grid"/>'
                     f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{short(tick)}</text>')
    for tick in y.ticks():
        at = y.place(tick)
        parts.append(f'<line x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}" class="grid"/>'
                     f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{short(tick)}</text>')
    return parts


def spaced(wanted, least):
    """Heights of labels, moved apart, in the order of the wanted ones."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    found, last = [0.0] * len(wanted), -1e9
    for i in order:
        last = max(wanted[i], last + least)
        found[i] = last
    return found


def chart(path, title, x_label, y_label, series, log_x=False, log_y=False, x_ticks=None):
    """series: {name: [(x, y), ...]}."""
    series = {name: [(a, b) for a, b in points if b > 0 or not log_y] for name, points in series.items() if points}
    points = [p for line in series.values() for p in line]
    x = Axis([p[0] for p in points], LEFT, WIDTH - RIGHT, log_x)
    y = Axis([p[1] for p in points], HEIGHT - BOTTOM, TOP, log_y)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
             "<style>.grid{stroke:#ddd;stroke-width:1}text{fill:#333}</style>", f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
             f'<text x="{LEFT}" y="24" font-size="15" font-weight="bold">{escaped(title)}</text>',
             f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">{escaped(x_label)}</text>',
             f'<text x="18" y="{(TOP + HEIGHT - BOTTOM) / 2}" text-anchor="middle" transform="rotate(-90 18 {(TOP + HEIGHT - BOTTOM) / 2})">{escaped(y_label)}</text>']
    parts += grid(x, y, x_ticks)
    heights = spaced([y.place(line[-1][1]) for line in series.values()], 15)
    for number, (name, line) in enumerate(series.items()):
        colour, dash = next((c, d) for begin, c, d in STYLES if name.startswith(begin))
        corners = " ".join(f"{x.place(a):.1f},{y.place(b):.1f}" for a, b in line)
        parts.append(f'<polyline points="{corners}" fill="none" stroke="{colour}" stroke-width="2"{f" stroke-dasharray={chr(34)}{dash}{chr(34)}" if dash else ""}/>')
        parts += [f'<circle cx="{x.place(a):.1f}" cy="{y.place(b):.1f}" r="3" fill="{colour}"/>' for a, b in line]
        parts.append(f'<text x="{WIDTH - RIGHT + 10}" y="{heights[number] + 4:.1f}" style="fill:{colour}">{escaped(name)}</text>')
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(parts) + "\n</svg>\n")
