import Foundation

/// What a User-Agent says of the device: its kind, browser and system, with whole versions only.
///
/// Browsers have frozen what they say (no device models, Windows 10 for 11, macOS 10.15 for all that came later), so this is as much as
/// can be read honestly. What is not recognized is absent.
struct Device: Codable, Sendable, Equatable {
    enum Kind: String, Codable, Sendable { case desktop, mobile, tablet, tv, bot }

    var type: Kind?
    var browser: String?
    var browserVersion: String?
    var os: String?
    var osVersion: String?

    /// The same without versions, for those who do not want to be followed.
    var withoutVersions: Device { Device(type: type, browser: browser, os: os) }
}

extension Device {
    /// In this order, since each of the later ones also names itself in the earlier ones' texts.
    private static let browsers: [(mark: String, name: String)] = [
        ("EdgA/", "Edge"), ("EdgiOS/", "Edge"), ("Edg/", "Edge"), ("Edge/", "Edge"), ("OPR/", "Opera"), ("OPT/", "Opera"),
        ("SamsungBrowser/", "Samsung Internet"), ("YaBrowser/", "Yandex"), ("Vivaldi/", "Vivaldi"), ("UCBrowser/", "UC Browser"),
        ("DuckDuckGo/", "DuckDuckGo"), ("FxiOS/", "Firefox"), ("Firefox/", "Firefox"), ("CriOS/", "Chrome"), ("HeadlessChrome/", "Chrome"),
        ("Chrome/", "Chrome"),
    ]

    /// Nil when nothing in it is recognized.
    init?(userAgent: String) {
        self.init()
        (os, osVersion) = Self.system(userAgent)
        (browser, browserVersion) = Self.browser(userAgent)
        if Bots.declared.match(userAgent) {
            type = .bot
        } else if userAgent.contains("iPad") || userAgent.contains("Tablet")
            || (userAgent.contains("Android") && !userAgent.contains("Mobile"))
        {
            type = userAgent.contains("TV") ? .tv : .tablet
        } else if userAgent.contains("iPhone") || userAgent.contains("Mobile") || userAgent.contains("Android") {
            type = .mobile
        } else if userAgent.contains("SmartTV") || userAgent.contains("SMART-TV") || userAgent.contains("AppleTV") {
            type = .tv
        } else if os != nil {
            type = .desktop
        }
        if self == Device() { return nil }
    }

    private static func browser(_ agent: String) -> (String?, String?) {
        for (mark, name) in browsers {
            if let version = major(after: mark, in: agent) { return (name, version) }
        }
        if agent.contains("Safari/"), let version = major(after: "Version/", in: agent) { return ("Safari", version) }
        if let version = major(after: "MSIE ", in: agent) { return ("Internet Explorer", version) }
        if agent.contains("Trident/") { return ("Internet Explorer", "11") }
        return (nil, nil)
    }

    private static func system(_ agent: String) -> (String?, String?) {
        if agent.contains("Windows Phone") { return ("Windows Phone", nil) }
        if agent.contains("Windows NT") {
            // 10.0 is said by Windows 11 too.
            let names = ["10.0": "10", "6.3": "8.1", "6.2": "8", "6.1": "7", "6.0": "Vista", "5.1": "XP"]
            return ("Windows", names[token(after: "Windows NT ", in: agent) ?? ""])
        }
        if agent.contains("iPhone") || agent.contains("iPad") || agent.contains("iPod") {
            return ("iOS", major(after: " OS ", in: agent))
        }
        if agent.contains("Android") { return ("Android", major(after: "Android ", in: agent)) }
        if agent.contains("CrOS") { return ("ChromeOS", nil) }
        if agent.contains("Mac OS X") || agent.contains("Macintosh") { return ("macOS", major(after: "Mac OS X ", in: agent)) }
        if agent.contains("Linux") || agent.contains("X11") { return ("Linux", nil) }
        return (nil, nil)
    }

    /// The digits after a mark: `128` of `Firefox/128.0`.
    private static func major(after mark: String, in agent: String) -> String? {
        guard let place = agent.range(of: mark) else { return nil }
        let digits = agent[place.upperBound...].prefix { $0.isASCII && $0.isNumber }.prefix(5)
        return digits.isEmpty ? nil : String(digits)
    }

    private static func token(after mark: String, in agent: String) -> String? {
        guard let place = agent.range(of: mark) else { return nil }
        return String(agent[place.upperBound...].prefix { $0.isASCII && ($0.isNumber || $0 == ".") })
    }
}

/// Programs that look at pages, told by parts of their User-Agent in whatever case. Those that do not say so are not found.
struct Bots: Sendable {
    private let marks: [String]

    /// Those that name themselves as crawlers, previews, checkers or remote-controlled browsers.
    static let declared = Bots(marks: [
        "bot/", "bot;", "bot)", "-bot", "bot ", "googlebot", "bingbot", "crawler", "crawling", "spider", "slurp", "headlesschrome",
        "phantomjs",
        "lighthouse", "pagespeed", "pingdom", "uptimerobot", "statuscake", "site24x7", "datadog", "newrelicpinger", "facebookexternalhit",
        "facebookcatalog", "embedly", "quora link preview", "whatsapp/", "telegrambot", "slackbot", "discordbot", "twitterbot",
        "linkedinbot",
        "applebot", "petalbot", "semrush", "ahrefs", "mj12", "dotbot", "gptbot", "chatgpt-user", "claudebot", "ccbot", "perplexitybot",
        "bytespider", "amazonbot", "feedfetcher", "mediapartners-google", "google-inspectiontool", "bitlybot", "nagios", "zgrab", "masscan",
    ])

    /// Libraries that call over HTTP: no browser, so no page. A server that reports with a key of its own may well be one of them.
    static let libraries = Bots(marks: [
        "curl/", "wget/", "python-requests", "python-urllib", "python-httpx", "aiohttp", "go-http-client", "okhttp", "java/",
        "apache-httpclient", "libwww-perl", "guzzlehttp", "node-fetch", "axios/", "undici", "ruby", "postmanruntime", "insomnia", "scrapy",
    ])

    init(marks: [String]) { self.marks = marks.map { $0.lowercased() }.filter { !$0.isEmpty } }

    func match(_ userAgent: String) -> Bool {
        let agent = userAgent.lowercased()
        return marks.contains { agent.contains($0) }
    }

    static func + (left: Bots, right: Bots) -> Bots { Bots(marks: left.marks + right.marks) }
}
