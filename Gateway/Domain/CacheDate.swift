/// Dates of HTTP (RFC 9110, section 5.6.7) as seconds since 1970, in the form we write and in the two old ones.
enum CacheDate {
    /// Nil when the text is no date; then `Expires` is in the past and `If-Modified-Since` is not there.
    static func seconds(_ text: UnsafeRawBufferPointer) -> Int? {
        guard let weekday = text.firstIndex(where: { $0 == UInt8(ascii: ",") || $0 == 0x20 }), weekday >= 3 else { return nil }
        if text.count == 29 { return standard(text) }
        if text.contains(UInt8(ascii: ",")) { return old(text, after: weekday) }
        return asctime(text)
    }

    /// `Sun, 06 Nov 1994 08:49:37 GMT`
    private static func standard(_ text: UnsafeRawBufferPointer) -> Int? {
        guard text[3] == UInt8(ascii: ","), let day = number(text, 5, 2), let month = month(text, 8), let year = number(text, 12, 4),
            let time = time(text, 17), text[4] == 0x20, text[7] == 0x20, text[11] == 0x20, text[16] == 0x20, text[25] == 0x20
        else { return nil }
        return joined(year, month, day, time)
    }

    /// `Sunday, 06-Nov-94 08:49:37 GMT`. Two digits of a year that would lie more than 50 years ahead mean the last century;
    /// a fixed border serves as well.
    private static func old(_ text: UnsafeRawBufferPointer, after weekday: Int) -> Int? {
        let start = weekday + 2
        guard text.count == start + 22, let day = number(text, start, 2), let month = month(text, start + 3),
            let year = number(text, start + 7, 2), let time = time(text, start + 10)
        else { return nil }
        return joined(year < 70 ? 2000 + year : 1900 + year, month, day, time)
    }

    /// `Sun Nov  6 08:49:37 1994`
    private static func asctime(_ text: UnsafeRawBufferPointer) -> Int? {
        guard text.count == 24, let month = month(text, 4), let time = time(text, 11), let year = number(text, 20, 4) else { return nil }
        guard let day = text[8] == 0x20 ? number(text, 9, 1) : number(text, 8, 2) else { return nil }
        return joined(year, month, day, time)
    }

    private static func number(_ text: UnsafeRawBufferPointer, _ start: Int, _ count: Int) -> Int? {
        var number = 0
        for index in start..<start + count {
            guard index < text.count else { return nil }
            let digit = text[index] &- 48
            guard digit < 10 else { return nil }
            number = number * 10 + Int(digit)
        }
        return number
    }

    /// Seconds of the day in `08:49:37`; a leap second is the second before it.
    private static func time(_ text: UnsafeRawBufferPointer, _ start: Int) -> Int? {
        guard start + 8 <= text.count, text[start + 2] == UInt8(ascii: ":"), text[start + 5] == UInt8(ascii: ":"),
            let hour = number(text, start, 2), let minute = number(text, start + 3, 2), let second = number(text, start + 6, 2),
            hour < 24, minute < 60, second < 61
        else { return nil }
        return hour * 3600 + minute * 60 + min(second, 59)
    }

    private static let months: [StaticString] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]

    private static func month(_ text: UnsafeRawBufferPointer, _ start: Int) -> Int? {
        guard start + 3 <= text.count else { return nil }
        let word = UnsafeRawBufferPointer(rebasing: text[start..<start + 3])
        return months.firstIndex { word.isWord($0) }.map { $0 + 1 }
    }

    /// Days of the civil calendar before 1970-01-01 and after it, by counting years from March.
    private static func joined(_ year: Int, _ month: Int, _ day: Int, _ time: Int) -> Int? {
        guard (1...31).contains(day) else { return nil }
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return (era * 146_097 + dayOfEra - 719_468) * 86_400 + time
    }
}
