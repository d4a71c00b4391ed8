/// The elements that may be stored, with their attributes; everything else is left out.
enum HTMLAllowList {
    /// An attribute and the form in which its value may be kept; nil when it may not.
    struct AttributeRule: Sendable {
        let name: String
        let check: @Sendable (String) -> String?
    }

    static let maximumTextLength = 1_000
    static let maximumSpan = 1_000

    static let elements: [String: [AttributeRule]] = {
        let plain = [
            "h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "b", "strong", "i", "em", "u", "s", "ul", "ol", "li", "blockquote",
            "code", "pre", "table", "caption", "thead", "tbody", "tfoot", "tr", "hr", "span", "div",
        ]
        var elements: [String: [AttributeRule]] = Dictionary(uniqueKeysWithValues: plain.map { ($0, []) })
        elements["a"] = [AttributeRule(name: "href") { address($0, schemes: ["http", "https", "mailto"]) }, text("title")]
        elements["img"] = [AttributeRule(name: "src", check: absoluteWebAddress), text("alt")]
        elements["th"] = [span("colspan"), span("rowspan")]
        elements["td"] = [span("colspan"), span("rowspan")]
        return elements
    }()

    static let void: Set<String> = ["br", "hr", "img"]

    /// The attribute without which an element is left out.
    static let needed = ["a": "href", "img": "src"]

    /// Programs, other documents, other languages than HTML, and controls: their content means nothing without them, or means harm.
    static let droppedWithContent: Set<String> = [
        "script", "style", "iframe", "frame", "frameset", "noframes", "object", "embed", "applet", "param", "noscript", "noembed",
        "template", "svg", "math", "xmp", "plaintext", "listing", "textarea", "select", "option", "button", "input", "title", "head",
        "link", "meta",
        "base", "audio", "video", "source", "track", "canvas", "map", "area", "portal", "xml", "dialog", "slot",
    ]

    private static func text(_ name: String) -> AttributeRule {
        AttributeRule(name: name) { String($0.prefix(maximumTextLength)) }
    }

    private static func span(_ name: String) -> AttributeRule {
        AttributeRule(name: name) { value in
            guard let number = Int(value), (1...maximumSpan).contains(number) else { return nil }
            return String(number)
        }
    }

    private static func absoluteWebAddress(_ value: String) -> String? {
        guard let address = address(value, schemes: ["http", "https"]), scheme(of: address) != nil else { return nil }
        return address
    }

    /// An address with one of the schemes, or relative to the page. White space and control characters, which browsers skip
    /// while they look for the scheme, are taken out first.
    private static func address(_ value: String, schemes: Set<String>) -> String? {
        var address = ""
        for scalar in value.unicodeScalars where scalar.value > 0x20 && scalar.properties.generalCategory != .control {
            address.unicodeScalars.append(scalar)
        }
        guard !address.isEmpty else { return nil }
        guard let scheme = scheme(of: address) else { return address }
        return schemes.contains(scheme) ? address : nil
    }

    /// What stands before the first colon, unless a slash, a question mark or a number sign comes first (RFC 3986, section 4.2).
    private static func scheme(of address: String) -> String? {
        guard let end = address.firstIndex(where: { ":/?#\\".contains($0) }), address[end] == ":" else { return nil }
        return address[..<end].lowercased()
    }
}
