import Contracts
import Foundation
import Testing

@testable import AuthService

@Suite struct NetworkRangeTests {
    @Test(
        "addresses of one /24 or /48 are one place, also when IPv4 comes as IPv6",
        arguments: [
            ("203.0.113.7", "203.0.113.0/24"), ("::ffff:203.0.113.7", "203.0.113.0/24"), ("2001:db8:7:1::5", "2001:db8:7::/48"),
            ("2001:0db8:0007:ffff::", "2001:db8:7::/48"), ("fe80::1%eth0", "fe80:0:0::/48"),
        ])
    func ranges(_ address: String, _ range: String) {
        #expect(NetworkRange(address).description == range)
    }

    @Test("what is no address is a place of its own", arguments: [nil, "", "somewhere", "203.0.113", "203.0.113.7.8"])
    func unknown(_ address: String?) {
        #expect(NetworkRange(address) == .unknown)
    }
}

@Suite struct DeviceTests {
    @Test(
        "a device is named as a person would",
        arguments: [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
                "Chrome on Windows"
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36 Edg/126.0",
                "Edge on Windows"
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/604.1",
                "Safari on iPhone"
            ),
            (
                "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36",
                "Chrome on Android"
            ),
            ("curl/8.5.0", "curl"), ("Difference Engine/2", "Difference Engine"), ("", "Unknown device"),
            ("/// <script>", "Unknown device"),
        ])
    func names(_ agent: String, _ name: String) {
        #expect(DeviceName(agent).description == name)
    }

    @Test("an update of the browser is no new device")
    func update() {
        let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
        #expect(DeviceName(agent) == DeviceName(agent.replacingOccurrences(of: "128", with: "140")))
        #expect(DeviceName(nil) == .unknown)
        #expect(DeviceName(String(repeating: "x", count: 500)).description.count == DeviceName.maximumLength)
    }

    @Test("a mark comes back out of the cookie that it was put in, and nothing else is one")
    func marks() throws {
        let mark = DeviceMark.make()
        let pair = try #require(mark.cookie(isSecure: true).split(separator: ";").first)
        #expect(DeviceMark(cookies: "theme=dark; \(pair); other=1") == mark)
        #expect(DeviceMark.make() != mark)
        #expect(mark.cookie(isSecure: true).hasSuffix("; Secure"))
        #expect(mark.cookie(isSecure: false).contains("HttpOnly; SameSite=Lax"))
        for cookies in [nil, "", "trx_device=", "trx_device=abc", "trx_device=\(String(repeating: "Z", count: 32))", "x\(pair)"] {
            #expect(DeviceMark(cookies: cookies) == nil)
        }
    }
}

@Suite struct RiskAssessmentTests {
    private func score(_ change: (inout RiskAssessment.Circumstances) -> Void) -> Double {
        var circumstances = RiskAssessment.Circumstances()
        change(&circumstances)
        return RiskAssessment(circumstances).score
    }

    @Test("who signs in as always is no risk, and neither is somebody's first time")
    func none() {
        #expect(score { _ in } == 0)
        #expect(
            score {
                $0.isFirst = true
                $0.isKnownDevice = false
                $0.isKnownNetwork = false
            } == 0)
    }

    @Test("each sign adds to the risk, and no two alone make it high")
    func signs() {
        let device = score { $0.isKnownDevice = false }, network = score { $0.isKnownNetwork = false }
        let both = score {
            $0.isKnownDevice = false
            $0.isKnownNetwork = false
        }
        #expect(device == 0.35)
        #expect(network == 0.25)
        #expect(both > device && both > network && both < RiskAssessment.standardThreshold)
        #expect(score { $0.networksLately = 2 } == 0)
        #expect(score { $0.networksLately = 3 } == 0.4)
        #expect(score { $0.recentFailures = 2 } == 0.2)
    }

    @Test("a new device at a new place after failures, or at a pace that nobody travels at, is a high risk")
    func high() {
        let guessed = score {
            $0.isKnownDevice = false
            $0.isKnownNetwork = false
            $0.recentFailures = 5
        }
        let travelled = score {
            $0.isKnownDevice = false
            $0.isKnownNetwork = false
            $0.networksLately = 3
        }
        #expect(guessed >= RiskAssessment.standardThreshold)
        #expect(travelled >= RiskAssessment.standardThreshold)
    }

    @Test("the score stays between 0 and 1 and never falls as things get worse")
    func bounds() {
        var last = -1.0
        for step in 0..<50 {
            let score = score {
                $0.isKnownDevice = step < 1
                $0.isKnownNetwork = step < 2
                $0.networksLately = step
                $0.recentFailures = step
            }
            #expect((0...1).contains(score))
            #expect(score >= last)
            last = score
        }
        #expect(last < 1)
        let assessment = RiskAssessment(.init(isKnownDevice: false, networksLately: 4))
        #expect(assessment.signs == [.newDevice, .impossiblePace])
        #expect(assessment.isNewDevice)
    }
}

@Suite struct SessionLifeTests {
    private let life = SessionLife(idle: 100, absolute: 250)
    private let start = Date(timeIntervalSince1970: 1_768_473_000)

    @Test("a session that is used lives on, but not beyond its absolute life")
    func absolute() throws {
        var (session, _) = Session.open(for: .make(), methods: ["pwd"], address: nil, userAgent: nil, at: start, life: life)
        #expect(session.expiresAt == start.addingTimeInterval(100))
        try session.use(at: start.addingTimeInterval(90), life: life)
        #expect(session.expiresAt == start.addingTimeInterval(190))
        try session.use(at: start.addingTimeInterval(180), life: life)
        #expect(session.expiresAt == start.addingTimeInterval(250))
        try session.use(at: start.addingTimeInterval(249), life: life)
        #expect(session.expiresAt == start.addingTimeInterval(250))
        #expect(throws: SessionFailure.ended) { try session.use(at: start.addingTimeInterval(250), life: life) }
    }

    @Test("a session that is not used dies of it")
    func idle() {
        var (session, _) = Session.open(for: .make(), methods: ["pwd"], address: nil, userAgent: nil, at: start, life: life)
        #expect(session.isLive(at: start.addingTimeInterval(99)))
        #expect(throws: SessionFailure.ended) { try session.use(at: start.addingTimeInterval(100), life: life) }
    }

    @Test("proving who one is again adds the new means and moves the time, without repetition")
    func stepUp() throws {
        var (session, _) = Session.open(for: .make(), methods: ["pwd"], address: nil, userAgent: nil, at: start, life: life)
        try session.authenticate(by: ["pwd", "otp"], at: start.addingTimeInterval(50))
        #expect(session.methods == ["pwd", "otp"])
        #expect(session.authenticatedAt == start.addingTimeInterval(50))
    }
}
