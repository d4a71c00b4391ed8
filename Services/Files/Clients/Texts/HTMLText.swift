import CLibXML2
import Foundation

/// The text of HTML as libxml2 reads it: no tags, no comments, no programs or styles, character references resolved, white space reduced.
///
/// The parser tells of elements and text as it comes to them and makes no tree, so its memory does not grow with what it reads. It is for
/// finding alone and makes nothing safe.
enum HTMLText {
    /// A page that nests deeper is read to there. Every end tag is looked for among the open elements, so this bounds the time.
    static let maximumDepth = 256

    private static let options = [HTML_PARSE_RECOVER, HTML_PARSE_NOERROR, HTML_PARSE_NOWARNING, HTML_PARSE_NONET, HTML_PARSE_NODEFDTD]
        .reduce(Int32(HTML_PARSE_IGNORE_ENC.rawValue)) { $0 | Int32($1.rawValue) }

    /// libxml2 wants its globals initialized before several threads use it.
    private static let initialized: Void = xmlInitParser()

    /// At most a little more than `maximumBytes` of text.
    static func read(_ html: String, maximumBytes: Int) -> (text: String, isCut: Bool) {
        _ = initialized
        guard let context = htmlNewParserCtxt(), let events = context.pointee.sax else { return ("", false) }
        defer { htmlFreeParserCtxt(context) }
        let heard = HeardText(maximumBytes: maximumBytes)
        context.pointee._private = Unmanaged.passUnretained(heard).toOpaque()
        events.pointee = htmlSAXHandler()
        // The parser gives its context to each of these.
        events.pointee.startElement = { context, name, _ in HeardText.of(context)?.began(name, context) }
        events.pointee.endElement = { context, name in HeardText.of(context)?.ended(name) }
        events.pointee.characters = { context, bytes, count in HeardText.of(context)?.text(bytes, count, context) }
        events.pointee.ignorableWhitespace = events.pointee.characters
        // Only programs and styles have such text.
        events.pointee.cdataBlock = { _, _, _ in }
        var input = html
        let document = withExtendedLifetime(heard) {
            input.withUTF8 { bytes in
                bytes.withMemoryRebound(to: CChar.self) { characters in
                    htmlCtxtReadMemory(context, characters.baseAddress, Int32(characters.count), nil, "UTF-8", options)
                }
            }
        }
        xmlFreeDoc(document)
        return (heard.collected.split(whereSeparator: \.isWhitespace).joined(separator: " "), heard.isCut)
    }
}

/// What the parser has told of.
private final class HeardText {
    /// What these contain is not the page's text.
    private static let dropped: Set<String> = ["script", "style", "template", "iframe", "object", "applet"]
    /// Inside a line of text; all others separate words.
    private static let inline: Set<String> = [
        "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "em", "font", "i", "ins", "kbd", "mark", "q", "s", "samp", "small", "span",
        "strong", "sub", "sup", "tt", "u", "var", "wbr",
    ]

    private(set) var collected = ""
    private(set) var isCut = false
    private var open = 0
    private var openDropped = 0
    private let maximumBytes: Int

    init(maximumBytes: Int) { self.maximumBytes = maximumBytes }

    static func of(_ context: UnsafeMutableRawPointer?) -> HeardText? {
        let parser = context?.assumingMemoryBound(to: xmlParserCtxt.self)
        return parser?.pointee._private.map { Unmanaged<HeardText>.fromOpaque($0).takeUnretainedValue() }
    }

    func began(_ name: UnsafePointer<xmlChar>?, _ context: UnsafeMutableRawPointer?) {
        let name = Self.text(of: name)
        open += 1
        if Self.dropped.contains(name) { openDropped += 1 }
        if !Self.inline.contains(name) { collected += " " }
        if open > HTMLText.maximumDepth { stop(context) }
    }

    func ended(_ name: UnsafePointer<xmlChar>?) {
        let name = Self.text(of: name)
        open = max(0, open - 1)
        if Self.dropped.contains(name) { openDropped = max(0, openDropped - 1) }
        if !Self.inline.contains(name) { collected += " " }
    }

    func text(_ bytes: UnsafePointer<xmlChar>?, _ count: Int32, _ context: UnsafeMutableRawPointer?) {
        guard openDropped == 0, let bytes else { return }
        collected += String(decoding: UnsafeBufferPointer(start: bytes, count: Int(count)), as: UTF8.self)
        if collected.utf8.count > maximumBytes { stop(context) }
    }

    private func stop(_ context: UnsafeMutableRawPointer?) {
        isCut = true
        xmlStopParser(context?.assumingMemoryBound(to: xmlParserCtxt.self))
    }

    private static func text(of name: UnsafePointer<xmlChar>?) -> String { name.map { String(cString: $0).lowercased() } ?? "" }
}
