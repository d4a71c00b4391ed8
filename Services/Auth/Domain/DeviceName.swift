/// What a `User-Agent` says of the device, as a person would: `Firefox on Linux`.
///
/// Coarse on purpose: an update of the browser is no new device.
struct DeviceName: Hashable, Sendable, CustomStringConvertible {
    static let maximumLength = 64
    let description: String

    static let unknown = DeviceName(name: "Unknown device")

    private init(name: String) { description = name }

    init(_ userAgent: String?) {
        guard let userAgent, let program = Self.program(userAgent) else {
            self = .unknown
            return
        }
        let name = Self.system(userAgent).map { "\(program) on \($0)" } ?? program
        self.init(name: String(name.prefix(Self.maximumLength)))
    }

    /// In this order: each of these browsers names those after it too.
    private static let browsers: [(mark: String, name: String)] = [
        ("Edg/", "Edge"), ("EdgA/", "Edge"), ("EdgiOS/", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser/", "Samsung Internet"),
        ("FxiOS/", "Firefox"), ("Firefox/", "Firefox"), ("CriOS/", "Chrome"), ("HeadlessChrome/", "Chrome"), ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ]

    /// In this order: Android says Linux as well, an iPad says Mac OS X.
    private static let systems: [(mark: String, name: String)] = [
        ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("CrOS", "ChromeOS"), ("Windows", "Windows"),
        ("Mac OS X", "macOS"), ("Macintosh", "macOS"), ("Linux", "Linux"),
    ]

    private static func program(_ agent: String) -> String? {
        if let browser = browsers.first(where: { agent.contains($0.mark) }) { return browser.name }
        // Programs name themselves first (RFC 9110, section 10.1.5): `curl/8.5.0`.
        let name = agent.prefix { $0 != "/" && $0 != "(" }.filter { $0.isLetter || $0.isNumber || " -_.".contains($0) }
        let trimmed = name.split(separator: " ").joined(separator: " ")
        return trimmed.isEmpty ? nil : trimmed
    }

    private static func system(_ agent: String) -> String? { systems.first { agent.contains($0.mark) }?.name }
}
