import Foundation

/// Curves over a logarithmic axis, as an SVG that stands beside the gateway's (Gateway/Bench/report.py): the same letters and colours.
struct Plot: Codable, Sendable, Equatable {
    struct Point: Codable, Sendable, Equatable {
        let x: Double
        let y: Double
    }

    struct Curve: Codable, Sendable, Equatable {
        let name: String
        var points: [Point] = []
    }

    /// The file's name without its ending.
    let name: String
    let title: String
    /// What the axis across counts, such as `rows`.
    let across: String
    let unit: String
    var curves: [Curve]

    private static let colours = ["#d9622b", "#5b8bd0", "#a974c9", "#4d9a6a", "#8a8f98", "#c9a227", "#b5485d", "#3b8ea5"]
    private static let (width, height, left, right, top, bottom) = (920.0, 420.0, 76.0, 310.0, 56.0, 52.0)

    /// Both axes are logarithmic and begin and end at powers of ten.
    var svg: String {
        let points = curves.flatMap(\.points).filter { $0.x > 0 && $0.y > 0 }
        guard !points.isEmpty else { return Self.page(title, []) }
        let xs = Self.decades(points.map(\.x))
        let ys = Self.decades(points.map(\.y))
        func x(_ value: Double) -> Double {
            Self.left + (log10(value) - Double(xs.lowerBound)) / Double(xs.count - 1) * (Self.width - Self.left - Self.right)
        }
        func y(_ value: Double) -> Double {
            let part = (log10(value) - Double(ys.lowerBound)) / Double(ys.count - 1)
            return Self.height - Self.bottom - part * (Self.height - Self.top - Self.bottom)
        }
        var lines: [String] = []
        for decade in xs {
            let at = x(pow(10, Double(decade)))
            lines.append(Self.line(at, Self.top, at, Self.height - Self.bottom, "#e4e6ea"))
            lines.append(Self.text(at, Self.height - Self.bottom + 18, Self.power(decade), anchor: "middle"))
        }
        for decade in ys {
            let at = y(pow(10, Double(decade)))
            lines.append(Self.line(Self.left, at, Self.width - Self.right, at, "#e4e6ea"))
            lines.append(Self.text(Self.left - 8, at + 4, Self.power(decade), anchor: "end"))
        }
        lines.append(Self.text((Self.left + Self.width - Self.right) / 2, Self.height - 12, across, anchor: "middle"))
        lines.append(Self.text(12, Self.top - 14, unit))
        for (index, curve) in curves.enumerated() where !curve.points.isEmpty {
            let colour = Self.colours[index % Self.colours.count]
            let drawn = curve.points.filter { $0.x > 0 && $0.y > 0 }
            let path = drawn.map { String(format: "%.1f,%.1f", x($0.x), y($0.y)) }.joined(separator: " ")
            lines.append("<polyline points=\"\(path)\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"2\"/>")
            for point in drawn {
                lines.append(String(format: "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%@\"/>", x(point.x), y(point.y), colour))
            }
            let legend = Self.top + 8 + Double(index) * 20
            lines.append(Self.line(Self.width - Self.right + 14, legend - 4, Self.width - Self.right + 34, legend - 4, colour, width: 2))
            lines.append(Self.text(Self.width - Self.right + 40, legend, curve.name))
        }
        return Self.page(title, lines)
    }

    /// The powers of ten around these values; at least two.
    private static func decades(_ values: [Double]) -> ClosedRange<Int> {
        let low = Int(log10(values.min() ?? 1).rounded(.down))
        let high = Int(log10(values.max() ?? 10).rounded(.up))
        return low...max(high, low + 1)
    }

    private static func power(_ decade: Int) -> String {
        switch decade {
        case ..<0: String(format: "%g", pow(10, Double(decade)))
        case 0..<4: "\(Int(pow(10, Double(decade))))"
        default: "10" + String(decade).map { String(Array("⁰¹²³⁴⁵⁶⁷⁸⁹")[$0.wholeNumberValue ?? 0]) }.joined()
        }
    }

    private static func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ colour: String, width: Int = 1) -> String {
        String(
            format: "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%@\" stroke-width=\"%d\"/>", x1, y1, x2, y2, colour,
            width)
    }

    private static func text(_ x: Double, _ y: Double, _ text: String, anchor: String = "start") -> String {
        String(format: "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%@\">%@</text>", x, y, anchor, escaped(text))
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    }

    private static func page(_ title: String, _ lines: [String]) -> String {
        let (width, height) = (Int(width), Int(height))
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(width) \(height)" width="\(width)" height="\(height)" role="img" \
            font-family="system-ui, sans-serif" font-size="12" fill="#1d2129"><title>\(escaped(title))</title>\
            <rect width="\(width)" height="\(height)" fill="#ffffff"/>\
            <text x="12" y="24" font-size="16" font-weight="700">\(escaped(title))</text>
            \(lines.joined(separator: "\n"))
            </svg>

            """
    }
}
