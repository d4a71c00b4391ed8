import GatewayService
import ServiceKit

@main
struct Main {
    static func main() async { await Launch.run(Gateway.self) }
}
