import Contracts
import Foundation
import ServiceKit

/// A walk over the bytes of a JSON text (RFC 8259) that gives up at whatever is not plain: escapes, nulls, names twice, numbers that are
/// not whole, times in another form than ours. Those are left to the decoder, which takes its time.
struct PlainJSON {
    private let bytes: UnsafeRawBufferPointer
    private var place = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Whether nothing but white space is left.
    mutating func isAtEnd() -> Bool {
        skipSpace()
        return place == bytes.count
    }

    private mutating func skipSpace() {
        while place < bytes.count, Self.isSpace(bytes[place]) { place += 1 }
    }

    /// Takes a sign such as `{`; false when something else comes next.
    mutating func take(_ sign: UInt8) -> Bool {
        skipSpace()
        guard place < bytes.count, bytes[place] == sign else { return false }
        place += 1
        return true
    }

    /// The bytes of a text without escapes.
    mutating func plainText() -> UnsafeRawBufferPointer? {
        guard take(UInt8(ascii: "\"")) else { return nil }
        let start = place
        while place < bytes.count {
            switch bytes[place] {
            case UInt8(ascii: "\""):
                place += 1
                return UnsafeRawBufferPointer(rebasing: bytes[start..<place - 1])
            case UInt8(ascii: "\\"), 0..<0x20: return nil
            default: place += 1
            }
        }
        return nil
    }

    mutating func text() -> String? { plainText().flatMap { String(validating: $0, as: UTF8.self) } }

    mutating func flag() -> Bool? {
        skipSpace()
        if takes("true") { return true }
        return takes("false") ? false : nil
    }

    mutating func count() -> Int? {
        skipSpace()
        let start = place
        var number = 0
        while place < bytes.count, (48...57).contains(bytes[place]), place - start < 9 {
            number = number * 10 + Int(bytes[place] - 48)
            place += 1
        }
        // A leading zero is no JSON; what goes on is no plain number.
        guard place > start, place < bytes.count, bytes[start] != 48 || place == start + 1, Self.isEndOfValue(bytes[place]) else {
            return nil
        }
        return number
    }

    /// `2026-11-21T05:28:02.123Z`, with or without a fraction of one to three digits.
    mutating func time() -> Date? {
        guard let text = plainText(), (20...24).contains(text.count), text.count != 21, text[text.count - 1] == UInt8(ascii: "Z") else {
            return nil
        }
        func number(_ range: Range<Int>) -> Int? {
            var number = 0
            for index in range {
                guard (48...57).contains(text[index]) else { return nil }
                number = number * 10 + Int(text[index] - 48)
            }
            return number
        }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
            let minute = number(14..<16), let second = number(17..<19), text[4] == 45, text[7] == 45, text[10] == UInt8(ascii: "T"),
            text[13] == 58, text[16] == 58, (1..<10_000).contains(year), (1...12).contains(month), (1...28).contains(day), hour < 24,
            minute < 60, second < 60
        else { return nil }
        var fraction = 0.0
        if text.count > 20 {
            guard text[19] == UInt8(ascii: "."), let digits = number(20..<text.count - 1) else { return nil }
            fraction = Double(digits) / [10, 100, 1_000][text.count - 22]
        }
        let days = Self.days(year, month, day)
        return Date(timeIntervalSince1970: Double(days * 86_400 + hour * 3_600 + minute * 60 + second) + fraction)
    }

    /// Days since 1970-01-01 in the Gregorian calendar, counting years from March so that the leap day is the last.
    private static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let year = month <= 2 ? year - 1 : year
        let era = year / 400, yearOfEra = year % 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private mutating func takes(_ word: StaticString) -> Bool {
        let end = place + word.utf8CodeUnitCount
        guard end < bytes.count, Self.isEndOfValue(bytes[end]) else { return false }
        guard bytes[place..<end].elementsEqual(UnsafeRawBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)) else {
            return false
        }
        place = end
        return true
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 }

    private static func isEndOfValue(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]") || isSpace(byte)
    }

    /// An object of plain texts, whole numbers, flags and objects of them, no deeper than said: its own bytes, read no further.
    mutating func object(depth: Int, entries: Int) -> UnsafeRawBufferPointer? {
        skipSpace()
        let start = place
        guard walk(depth: depth, entries: entries) else { return nil }
        return UnsafeRawBufferPointer(rebasing: bytes[start..<place])
    }

    private mutating func walk(depth: Int, entries: Int) -> Bool {
        guard depth > 0, take(UInt8(ascii: "{")) else { return false }
        if take(UInt8(ascii: "}")) { return true }
        var names: [UnsafeRawBufferPointer] = []
        repeat {
            // Valid UTF-8 is asked for here, since nothing reads these texts any more before they are stored.
            guard let name = plainText(), names.count < entries, String(validating: name, as: UTF8.self) != nil,
                !names.contains(where: { $0.elementsEqual(name) }), take(UInt8(ascii: ":"))
            else { return false }
            names.append(name)
            skipSpace()
            guard place < bytes.count else { return false }
            switch bytes[place] {
            case UInt8(ascii: "\""): guard text() != nil else { return false }
            case UInt8(ascii: "{"): guard walk(depth: depth - 1, entries: entries) else { return false }
            case 48...57: guard count() != nil else { return false }
            case UInt8(ascii: "t"), UInt8(ascii: "f"): guard flag() != nil else { return false }
            default: return false
            }
        } while take(UInt8(ascii: ","))
        return take(UInt8(ascii: "}"))
    }
}

extension EventProperties {
    /// The bytes as they are, when all of them together are within what their names and texts may have.
    init?(plain json: inout PlainJSON) {
        guard let object = json.object(depth: Self.maximumDepth, entries: Self.maximumCount), object.count <= Self.maximumBytes / 8 else {
            return nil
        }
        self.init(checked: String(decoding: object, as: UTF8.self))
    }
}

/// An item that can be read off plain JSON.
protocol PlainItem: BatchItem {
    init?(plain json: inout PlainJSON)
}

/// Fields of an item on the way: each at most once.
private struct PlainFields {
    var eventName: EventName?, eventCategory: Label?, eventProperties: EventProperties?, url: PageAddress?, referrer: Referrer?
    var sessionId: SessionKey?, userId: UserID?, durationSeconds: ViewSeconds?, bounce: Bool?
    var occurredAt: Date?, eventId: EventID?, sentAt: Date?
    private var seen = 0

    init?(_ json: inout PlainJSON, isView: Bool) {
        guard json.take(UInt8(ascii: "{")) else { return nil }
        repeat {
            guard let name = json.plainText(), json.take(UInt8(ascii: ":")), let field = Self.names[String(decoding: name, as: UTF8.self)],
                seen & field.bit == 0, read(field, &json, isView)
            else { return nil }
            seen |= field.bit
        } while json.take(UInt8(ascii: ","))
        guard json.take(UInt8(ascii: "}")) else { return nil }
    }

    private enum Field: Int, CaseIterable {
        case eventName, eventCategory, eventProperties, url, referrer, sessionId, userId, durationSeconds, bounce, occurredAt, eventId,
            sentAt
        var bit: Int { 1 << rawValue }
    }

    private static let names = Dictionary(uniqueKeysWithValues: Field.allCases.map { ("\($0)", $0) })

    /// Whether the field belongs to the item, and its value is good.
    private mutating func read(_ field: Field, _ json: inout PlainJSON, _ isView: Bool) -> Bool {
        switch field {
        case .eventName: eventName = json.text().flatMap(EventName.init(rawValue:))
        case .eventCategory: eventCategory = json.text().flatMap(Label.init(rawValue:))
        case .eventProperties: eventProperties = EventProperties(plain: &json)
        case .url: url = json.text().flatMap(PageAddress.init(rawValue:))
        case .referrer: referrer = json.text().flatMap(Referrer.init(rawValue:))
        case .sessionId: sessionId = json.text().flatMap(SessionKey.init(rawValue:))
        case .userId: userId = json.text().flatMap { UserID($0) }
        case .durationSeconds:
            durationSeconds = json.count().flatMap { (0...ViewSeconds.maximum).contains($0) ? ViewSeconds(value: $0) : nil }
        case .bounce: bounce = json.flag()
        case .occurredAt: occurredAt = json.time()
        case .eventId: eventId = json.text().flatMap { EventID($0) }
        case .sentAt: sentAt = json.time()
        }
        return switch field {
        case .eventName: !isView && eventName != nil
        case .eventCategory: !isView && eventCategory != nil
        case .eventProperties: !isView && eventProperties != nil
        case .url: url != nil
        case .referrer: referrer != nil
        case .sessionId: sessionId != nil
        case .userId: userId != nil
        case .durationSeconds: isView && durationSeconds != nil
        case .bounce: isView && bounce != nil
        case .occurredAt: occurredAt != nil
        case .eventId: eventId != nil
        case .sentAt: sentAt != nil
        }
    }
}

extension EventDraft: PlainItem {
    init?(plain json: inout PlainJSON) {
        guard let fields = PlainFields(&json, isView: false), let name = fields.eventName else { return nil }
        self.init(
            eventName: name, eventCategory: fields.eventCategory, eventProperties: fields.eventProperties, url: fields.url,
            referrer: fields.referrer, sessionId: fields.sessionId, userId: fields.userId, occurredAt: fields.occurredAt,
            eventId: fields.eventId, sentAt: fields.sentAt)
    }
}

extension PageViewDraft: PlainItem {
    init?(plain json: inout PlainJSON) {
        guard let fields = PlainFields(&json, isView: true), let url = fields.url else { return nil }
        self.init(
            url: url, referrer: fields.referrer, sessionId: fields.sessionId, userId: fields.userId,
            durationSeconds: fields.durationSeconds, bounce: fields.bounce, occurredAt: fields.occurredAt, eventId: fields.eventId,
            sentAt: fields.sentAt)
    }
}

extension OneOrMany: QuicklyRead where Item: PlainItem {
    init?(quickly body: UnsafeRawBufferPointer) {
        var json = PlainJSON(body)
        if let list = Self.list(&json), json.isAtEnd() {
            self.init(sent: list, isList: true)
            return
        }
        var alone = PlainJSON(body)
        guard let item = Item(plain: &alone), alone.isAtEnd() else { return nil }
        self.init(sent: Sent(items: [item], sentAt: nil), isList: false)
    }

    private static func list(_ json: inout PlainJSON) -> Sent<Item>? {
        guard json.take(UInt8(ascii: "{")) else { return nil }
        var items: [Item] = [], sentAt: Date?
        repeat {
            guard let name = json.text(), json.take(UInt8(ascii: ":")) else { return nil }
            if name == Item.listName, items.isEmpty, json.take(UInt8(ascii: "[")) {
                repeat {
                    guard items.count < Batch<Item>.maximumCount, let item = Item(plain: &json) else { return nil }
                    items.append(item)
                } while json.take(UInt8(ascii: ","))
                guard json.take(UInt8(ascii: "]")) else { return nil }
            } else if name == "sentAt", sentAt == nil, let time = json.time() {
                sentAt = time
            } else {
                return nil
            }
        } while json.take(UInt8(ascii: ","))
        guard json.take(UInt8(ascii: "}")), !items.isEmpty else { return nil }
        return Sent(items: items, sentAt: sentAt)
    }
}
