import NIOCore

extension ByteBuffer {
    mutating func writeHexadecimal(_ number: Int) {
        var shift = 60
        while shift > 0, number >> shift & 15 == 0 { shift -= 4 }
        while shift >= 0 {
            writeInteger(HexDigits.small[number >> shift & 15])
            shift -= 4
        }
    }
}

enum HexDigits {
    static let small: [UInt8] = Array("0123456789abcdef".utf8)

    /// Sixteen digits.
    static func write(_ number: UInt64, to bytes: UnsafeMutablePointer<UInt8>) {
        small.withUnsafeBufferPointer { digits in
            for index in 0..<16 { bytes[index] = digits[Int(number >> UInt64(60 - index * 4) & 15)] }
        }
    }
}

/// The id of a request: what the client said, where that is sane, or a UUID of version 7.
final class RequestID {
    static let maximum = 128
    private let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: RequestID.maximum)
    private(set) var count = 0

    deinit { bytes.deallocate() }

    var text: String { String(decoding: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self) }
    var raw: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: bytes, count: count) }

    /// Takes over what the client sent; false where it is not sane: too short, too long, or with anything but letters, digits and `-_.`.
    func accept(_ value: UnsafeRawBufferPointer) -> Bool {
        guard (8...Self.maximum).contains(value.count) else { return false }
        for (index, byte) in value.enumerated() {
            switch byte {
            case 48...57, 65...90, 97...122, 45, 95, 46: bytes[index] = byte
            default: return false
            }
        }
        count = value.count
        return true
    }

    /// RFC 9562, section 5.7.
    func make(_ first: UInt64, _ second: UInt64, milliseconds: UInt64) {
        let high = milliseconds << 16 | 0x7000 | first & 0x0FFF
        let low = 0x8000_0000_0000_0000 | second & 0x3FFF_FFFF_FFFF_FFFF
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { digits in
            guard let all = digits.baseAddress else { return }
            HexDigits.write(high, to: all)
            HexDigits.write(low, to: all + 16)
            var at = 0
            for index in 0..<32 {
                if index == 8 || index == 12 || index == 16 || index == 20 {
                    bytes[at] = 45
                    at += 1
                }
                bytes[at] = all[index]
                at += 1
            }
        }
        count = 36
    }
}

/// `00-<trace>-<span>-<flags>` (W3C Trace Context): the client's trace goes on, with a span of ours.
final class TraceLine {
    static let count = 55
    private let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: TraceLine.count)
    private(set) var isContinued = false

    deinit { bytes.deallocate() }

    var raw: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: bytes, count: Self.count) }
    var traceID: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: bytes + 3, count: 32) }
    var spanID: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: bytes + 36, count: 16) }
    var parentID: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: parentBytes, count: isContinued ? 16 : 0) }
    private let parentBytes = UnsafeMutablePointer<UInt8>.allocate(capacity: 16)
    var isSampled: Bool { bytes[54] & 1 == 1 }

    func begin(_ first: UInt64, _ second: UInt64, span: UInt64, sampled: Bool) {
        isContinued = false
        frame()
        HexDigits.write(first | 1, to: bytes + 3)
        HexDigits.write(second, to: bytes + 19)
        HexDigits.write(span | 1, to: bytes + 36)
        bytes[53] = 48
        bytes[54] = sampled ? 49 : 48
    }

    /// False where what the client sent is none (section 3.2.2): then a trace begins here.
    func goOn(_ value: UnsafeRawBufferPointer, span: UInt64) -> Bool {
        guard value.count == Self.count, value[0] == 48, value[1] == 48, value[2] == 45, value[35] == 45, value[52] == 45 else {
            return false
        }
        var trace: UInt8 = 0, caller: UInt8 = 0
        for index in 3..<Self.count where index != 35 && index != 52 {
            guard Self.isDigit(value[index]) else { return false }
            if index < 35 { trace |= value[index] ^ 48 } else if index < 52 { caller |= value[index] ^ 48 }
        }
        guard trace != 0, caller != 0 else { return false }
        frame()
        for index in 3..<35 { bytes[index] = value[index] }
        for index in 0..<16 { parentBytes[index] = value[36 + index] }
        HexDigits.write(span | 1, to: bytes + 36)
        bytes[53] = 48
        // Of the flags only the one that is defined goes on.
        bytes[54] = Self.isOdd(value[54]) ? 49 : 48
        isContinued = true
        return true
    }

    private func frame() {
        bytes[0] = 48
        bytes[1] = 48
        bytes[2] = 45
        bytes[35] = 45
        bytes[52] = 45
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) || (97...102).contains(byte) }
    private static func isOdd(_ digit: UInt8) -> Bool { digit < 58 ? digit & 1 == 1 : digit & 1 == 0 }
}

/// Dates as HTTP writes them (RFC 9110, section 5.6.7).
enum HTTPDate {
    private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    static func text(_ seconds: Int) -> String {
        let day = seconds / 86_400, rest = seconds % 86_400
        let (year, month, date) = civil(day)
        return
            "\(days[day % 7]), \(two(date)) \(months[month - 1]) \(year) \(two(rest / 3_600)):\(two(rest / 60 % 60)):\(two(rest % 60)) GMT"
    }

    private static func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }

    /// Year, month and day of the days since 1970.
    private static func civil(_ days: Int) -> (Int, Int, Int) {
        let shifted = days + 719_468
        let era = shifted / 146_097
        let ofEra = shifted - era * 146_097
        let yearOfEra = (ofEra - ofEra / 1_460 + ofEra / 36_524 - ofEra / 146_096) / 365
        let ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let part = (5 * ofYear + 2) / 153
        let month = part < 10 ? part + 3 : part - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, ofYear - (153 * part + 2) / 5 + 1)
    }
}
