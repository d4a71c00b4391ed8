import Foundation
import ServiceKit

/// How clients reach the gateway: TLS, HTTP/2 and the PROXY protocol.
struct EdgeSettings: Sendable {
    struct TLS: Sendable, Equatable {
        let port: Int
        /// PEM: the certificate and the chain behind it.
        let certificate: String
        /// PEM, not encrypted.
        let key: String
        let allowsTLS12: Bool
    }

    /// Nil without a port for TLS.
    let tls: TLS?
    /// Whether each connection begins with a PROXY header of a load balancer, which must be one of the trusted proxies.
    let proxyProtocol: Bool
    /// Whether the plain port takes HTTP/2 from clients that begin with its preface.
    let http2Cleartext: Bool
    let http2: HTTP2Limits
    /// Seconds from the first packet to the first request's protocol: PROXY header, TLS handshake, preface.
    let openingSeconds: Int
    /// Connections from one address at once; 0: a part of all.
    let connectionsPerAddress: Int

    init(_ reader: inout SettingsReader) {
        let port = reader.integer("TLS_PORT", default: 0, in: 0...65535, "Port for TLS; 0 is none")
        let certificate = reader.optionalText("TLS_CERTIFICATE", "PEM file with the certificate and its chain")
        let key = reader.optionalText("TLS_KEY", "PEM file with the certificate's private key")
        let minimum = reader.choice("TLS_MINIMUM", default: "1.3", of: ["1.2", "1.3"], "Oldest version of TLS")
        if port > 0 {
            if certificate == nil || key == nil { reader.refuse("TRIONEX_TLS_PORT needs TRIONEX_TLS_CERTIFICATE and TRIONEX_TLS_KEY") }
            tls = TLS(port: port, certificate: certificate ?? "", key: key ?? "", allowsTLS12: minimum == "1.2")
        } else {
            if certificate != nil || key != nil { reader.refuse("TRIONEX_TLS_CERTIFICATE and TRIONEX_TLS_KEY need TRIONEX_TLS_PORT") }
            tls = nil
        }
        proxyProtocol = reader.flag(
            "PROXY_PROTOCOL", default: false, "Whether connections begin with a PROXY header, which trusted proxies alone may send")
        http2Cleartext = reader.flag("HTTP2_CLEARTEXT", default: false, "HTTP/2 without TLS for clients that begin with its preface")
        var http2 = HTTP2Limits()
        http2.concurrentStreams = UInt32(
            reader.integer("HTTP2_STREAMS", default: 128, in: 1...10_000, "Requests of one HTTP/2 connection at once"))
        self.http2 = http2
        openingSeconds = reader.integer(
            "OPENING_SECONDS", default: 10, in: 1...300, "Time for the PROXY header and the TLS handshake of a new connection")
        connectionsPerAddress = reader.integer(
            "HTTP_CONNECTIONS_PER_ADDRESS", default: 0, in: 0...200_000,
            "Connections from one address at once, unless it is a trusted proxy's; 0 is a tenth of all")
    }

    /// For tests and for parts that stand alone.
    init(
        tls: TLS? = nil, proxyProtocol: Bool = false, http2Cleartext: Bool = false, http2: HTTP2Limits = HTTP2Limits(),
        openingSeconds: Int = 10, connectionsPerAddress: Int = 0
    ) {
        self.tls = tls
        self.proxyProtocol = proxyProtocol
        self.http2Cleartext = http2Cleartext
        self.http2 = http2
        self.openingSeconds = openingSeconds
        self.connectionsPerAddress = connectionsPerAddress
    }
}
