import Contracts
import Foundation
import ServiceKit

/// Where the services are: the addresses of the settings, and what the gateway file says instead or besides.
struct Upstreams: Sendable {
    private let addresses: [ServiceName: [UpstreamSpec.Address]]

    /// Throws `ProgramHost.SettingsRefused` for addresses that the data path cannot reach.
    init(_ neighbours: [ServiceName: [String]]) throws(ProgramHost.SettingsRefused) {
        var problems: [String] = [], addresses: [ServiceName: [UpstreamSpec.Address]] = [:]
        for (service, texts) in neighbours {
            addresses[service] = texts.compactMap { text in
                let address = Self.address(text)
                if address == nil {
                    problems.append(
                        "TRIONEX_\(service.rawValue.uppercased())_URL: \"\(text)\" must be http://host:port without a path: inside the gateway speaks plain HTTP/1.1"
                    )
                }
                return address
            }
        }
        guard problems.isEmpty else { throw ProgramHost.SettingsRefused(problems: problems.sorted()) }
        self.addresses = addresses
    }

    /// By name of the group.
    func specs(_ file: GatewayFile) -> [String: UpstreamSpec] {
        var specs = file.upstreams
        for (service, addresses) in addresses {
            let name = service.rawValue
            if let spec = specs[name] {
                if spec.addresses.isEmpty { specs[name]?.addresses = addresses }
            } else {
                specs[name] = UpstreamSpec(addresses: addresses)
            }
        }
        return specs
    }

    private static func address(_ text: String) -> UpstreamSpec.Address? {
        guard let url = URLComponents(string: text), url.scheme == "http", let host = url.host, ["", "/"].contains(url.path) else {
            return nil
        }
        let name = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
        return UpstreamSpec.Address(host: name, port: url.port ?? 80)
    }
}
