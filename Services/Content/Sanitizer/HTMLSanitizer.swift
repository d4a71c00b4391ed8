import CLibXML2
import Contracts

/// Makes HTML of strangers safe: parsed by libxml2, then written anew from an allow-list.
///
/// Nothing of the input is copied as markup. Elements and attributes are written from the names in `HTMLAllowList`, text and
/// values are escaped, and no element is ever written in which a browser would read text as anything but text (script, style,
/// svg, math, template, textarea, comments …). So the differences between this parser and a browser's, which mutation attacks
/// live on, have nothing to work with. What an element that is not allowed contains is kept, unless its content is a program
/// or another document: then it goes too. The result is a fixed point: sanitized again it stays the same, so it means the same
/// to every reader.
enum HTMLSanitizer {
    /// libxml2's own limit on nesting. Deeper input is refused rather than cut.
    static let maximumDepth = 256
    /// Taking elements away can leave a nesting that is read differently the next time. Ordinary input needs two rounds.
    static let maximumRounds = 10

    private static let options = [HTML_PARSE_RECOVER, HTML_PARSE_NOERROR, HTML_PARSE_NOWARNING, HTML_PARSE_NONET, HTML_PARSE_NODEFDTD]
        .reduce(Int32(HTML_PARSE_IGNORE_ENC.rawValue)) { $0 | Int32($1.rawValue) }

    /// libxml2 wants its globals initialized before several threads use it.
    private static let initialized: Void = xmlInitParser()

    static func sanitize(_ html: String) throws(TextProblem) -> String {
        _ = initialized
        var before = html
        for _ in 1...maximumRounds {
            let after = try round(before)
            if after == before { return after }
            before = after
        }
        throw TextProblem("unreadable", "nests elements in a way that has no one meaning")
    }

    private static func round(_ html: String) throws(TextProblem) -> String {
        guard let context = htmlNewParserCtxt() else { throw TextProblem("unreadable", "cannot be read as HTML just now") }
        defer { htmlFreeParserCtxt(context) }
        // Inside a body the parser leaves text as it is; at the top level it would wrap it in a paragraph.
        var input = "<html><body>" + html
        let document = input.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { characters in
                htmlCtxtReadMemory(context, characters.baseAddress, Int32(characters.count), nil, "UTF-8", options)
            }
        }
        defer { xmlFreeDoc(document) }
        // The parser gives up only on nesting, having read what lies before.
        guard context.pointee.disableSAX == 0 else {
            throw TextProblem("too-deep", "must not nest elements deeper than \(maximumDepth)")
        }
        guard let root = xmlDocGetRootElement(document) else { return "" }
        var writer = SafeWriter()
        writer.write(root)
        return writer.output
    }
}

/// Writes a parsed tree, without recursion.
private struct SafeWriter {
    private(set) var output = ""
    /// Elements whose beginning was written, and whose end is owed.
    private var owed: [xmlNodePtr] = []

    mutating func write(_ root: xmlNodePtr) {
        var current: xmlNodePtr? = root
        while let node = current {
            if open(node), let child = node.pointee.children {
                current = child
                continue
            }
            current = next(after: node, within: root)
        }
    }

    /// The next node in document order that is not inside `node`; closes what is left on the way.
    private mutating func next(after node: xmlNodePtr, within root: xmlNodePtr) -> xmlNodePtr? {
        var node = node
        while true {
            close(node)
            if node == root { return nil }
            if let sibling = node.pointee.next { return sibling }
            guard let parent = node.pointee.parent else { return nil }
            node = parent
        }
    }

    /// Writes a node's beginning. False when its content is not to be shown.
    private mutating func open(_ node: xmlNodePtr) -> Bool {
        switch node.pointee.type {
        case XML_TEXT_NODE:
            if let content = node.pointee.content { append(text: String(cString: content)) }
            return false
        case XML_ELEMENT_NODE:
            let name = Self.name(node)
            if HTMLAllowList.droppedWithContent.contains(name) { return false }
            guard let attributes = HTMLAllowList.elements[name] else { return true }
            let wrote = openTag(name, attributes, node)
            if HTMLAllowList.void.contains(name) { return false }
            if wrote { owed.append(node) }
            return true
        default:
            // Comments, processing instructions, CDATA, document types.
            return false
        }
    }

    /// False when the element means nothing without an attribute that it does not have: then its content stands alone.
    private mutating func openTag(_ name: String, _ rules: [HTMLAllowList.AttributeRule], _ node: xmlNodePtr) -> Bool {
        let attributes = rules.compactMap { rule -> (String, String)? in
            guard let value = Self.attribute(rule.name, of: node), let safe = rule.check(value) else { return nil }
            return (rule.name, safe)
        }
        if let needed = HTMLAllowList.needed[name], !attributes.contains(where: { $0.0 == needed }) { return false }
        output += "<\(name)"
        for (key, value) in attributes { append(attribute: key, value) }
        // A page that was opened from a link must not reach back into ours.
        if attributes.contains(where: { $0.0 == "href" }) { append(attribute: "rel", "noopener") }
        output += ">"
        return true
    }

    private mutating func close(_ node: xmlNodePtr) {
        guard owed.last == node else { return }
        owed.removeLast()
        output += "</\(Self.name(node))>"
    }

    private mutating func append(text: String) {
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": output += "&amp;"
            case "<": output += "&lt;"
            case ">": output += "&gt;"
            default: if Self.isPrintable(scalar) { output.unicodeScalars.append(scalar) }
            }
        }
    }

    private mutating func append(attribute name: String, _ value: String) {
        output += " \(name)=\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "&": output += "&amp;"
            case "<": output += "&lt;"
            case ">": output += "&gt;"
            case "\"": output += "&quot;"
            // Old browsers took it for a quote.
            case "`": output += "&#96;"
            default: if Self.isPrintable(scalar) { output.unicodeScalars.append(scalar) }
            }
        }
        output += "\""
    }

    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "\t" || scalar == "\n" || scalar == "\r" || scalar.properties.generalCategory != .control
    }

    private static func name(_ node: xmlNodePtr) -> String {
        node.pointee.name.map { String(cString: $0).lowercased() } ?? ""
    }

    private static func attribute(_ name: String, of node: xmlNodePtr) -> String? {
        guard let value = xmlGetProp(node, name) else { return nil }
        defer { trionex_xml_free(value) }
        return String(cString: value)
    }
}
